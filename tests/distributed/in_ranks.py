"""What each rank of a test of `launch` runs: `main([WHAT, FOLDER])`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from copgen.distributed.ranks import joined
from copgen.runtime.environment import placement
from copgen.runtime.errors import DataError, ExitCode


def confess(rank: int, done: Path) -> None:
    """The second rank has an error of its own; the first is killed before it can tell of it."""
    try:
        with joined(torch.device("cpu")):
            if rank > 0:
                raise DataError("Row 3 is torn.", fix="Fix it.")
            while not done.exists():
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGKILL)
    except DataError:
        done.touch()


def main(words: Sequence[str]) -> int:
    what, folder = words
    rank = placement().rank
    print(f"rank {rank} of {placement().world}: {what}", flush=True)
    (Path(folder) / f"ready-{rank}").touch()
    if what == "wait":
        time.sleep(120)
    if what == "vanish":
        if rank > 0:
            os.kill(os.getpid(), signal.SIGKILL)
        with joined(torch.device("cpu")):
            pass
    if what == "confess":
        confess(rank, Path(folder) / "confessed")
    if rank > 0:
        return int(ExitCode.DATA)
    time.sleep(1)
    return int(ExitCode.ENVIRONMENT)
