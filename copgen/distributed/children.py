"""Setup shared by the child processes that copgen starts."""

from __future__ import annotations

import ctypes
import signal
from pathlib import Path

import copgen

_PR_SET_PDEATHSIG = 1
_RUN = """import runpy, sys
if checkout := sys.argv.pop(1):
    sys.path.insert(0, checkout)
runpy.run_module(sys.argv.pop(1), None, "__main__", True)"""
_INSTALLED = ("site-packages", "dist-packages")


def run_module(module: str) -> tuple[str, ...]:
    """Arguments of Python that run a module of copgen, as `-m` does, whatever lies in the current folder.

    With `-m`, Python would import from there first: a `queue.py` of the user in the place of the standard library's.
    The folder of a checkout comes first instead.
    """
    root = Path(copgen.__file__).resolve().parents[1]
    return "-P", "-c", _RUN, "" if root.name in _INSTALLED else str(root), module


def end_with_parent() -> None:
    """For a child: it is killed when the thread that started it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
