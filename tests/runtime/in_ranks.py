"""What each rank of a test of `launch` runs: `main([WHAT, FOLDER])`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from copgen.runtime.environment import placement
from copgen.runtime.errors import ExitCode


def main(words: Sequence[str]) -> int:
    what, folder = words
    rank = placement().rank
    print(f"rank {rank} of {placement().world}: {what}", flush=True)
    (Path(folder) / f"ready-{rank}").touch()
    if what == "wait":
        time.sleep(120)
    if rank > 0:
        return int(ExitCode.DATA)
    time.sleep(1)
    return int(ExitCode.ENVIRONMENT)
