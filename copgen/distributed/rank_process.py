"""One rank of `--nproc`: `python -m copgen.distributed.rank_process FOLDER MODULE WORDS...`; see launch.py.

It runs `main(WORDS)` of the module, writes the exit code to the folder, and exits with it. The agent terminates all
ranks as soon as one exits with an error, so the other ranks wait for rank 0, which may still have to log and save.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from copgen.distributed.children import end_with_parent
from copgen.runtime.environment import placement
from copgen.runtime.machine import threads_of_each
from copgen.storage.files import write_text

GRACE_S = 30.0  # for rank 0 after another rank has failed, as it may be waiting for that rank


def ending(folder: Path, *, rank: int) -> int | None:
    """The exit code that a rank wrote to the folder, None if it wrote none."""
    path = folder / f"rank-{rank}"
    return int(path.read_text()) if path.exists() else None


def main(words: Sequence[str]) -> int:
    """Run a rank; returns its exit code."""
    folder, module, *arguments = words
    rank, world = placement().rank, placement().world
    end_with_parent()
    if rank > 0:
        warnings.simplefilter("ignore")  # rank 0 emits the same ones
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    torch.set_num_threads(threads_of_each(world))
    code = int(importlib.import_module(module).main(arguments))
    write_text(Path(folder) / f"rank-{rank}", str(code))
    until = time.monotonic() + GRACE_S
    while code and ending(Path(folder), rank=0) is None and time.monotonic() < until:
        time.sleep(0.02)
    return code


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # outside a stage it ends a rank silently; the launcher reports it
    sys.exit(main(sys.argv[1:]))
