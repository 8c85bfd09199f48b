"""A worker process of `sample --workers N`: reads its task from standard input, reports progress as lines of JSON.

{"shard": 17, "pairs": 4200}    how far it is
{"warning": "..."}              what the user should know
{"error": {"what": ..., "fix": ..., "code": 4}}    the last line of one that fails
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import torch

from copgen.distributed.slices import ShardSlice
from copgen.runtime.errors import CopgenError
from copgen.runtime.events import Silent
from copgen.runtime.memory import is_out_of_memory
from copgen.runtime.signals import StopRequest
from copgen.stages.sample.out_of_memory import fault
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import work


class Speaker(Silent):
    """Writes events as lines of JSON to a file descriptor."""

    def __init__(self, channel: int) -> None:
        self._channel = channel

    def tell(self, words: dict[str, Any]) -> None:
        """Write one line atomically."""
        os.write(self._channel, json.dumps(words).encode() + b"\n")

    def warn(self, text: str) -> None:
        self.tell({"warning": text})

    def note(self, number: int, pairs: int) -> None:
        """Report the number of finished pairs of shard `number`."""
        self.tell({"shard": number, "pairs": pairs})


def main() -> int:
    """Run the task; returns the exit code."""
    speaker = Speaker(os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keep the prints of libraries out of the progress stream
    with StopRequest() as stop:
        task = json.load(sys.stdin)
        torch.set_num_threads(task["threads"])
        settings = SampleSettings.model_validate(task["settings"])
        try:
            work(
                settings,
                out=task["out"],
                part=ShardSlice(task["index"], task["count"]),
                local=task["local"],
                note=speaker.note,
                stop=stop,
            )
        except CopgenError as error:
            speaker.tell({"error": {"what": error.what, "fix": error.fix, "code": int(error.code)}})
            return int(error.code)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            own = fault(settings, again=False)
            speaker.warn(f"{own.what} {own.fix}")  # no error, which would end the workers on other devices
            return int(own.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
