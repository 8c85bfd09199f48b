"""`--nproc N`: starts N ranks of a command on this machine, with the variables and the store that torchrun gives them.

What torchrun leaves to be wished: a signal reaches every rank once, and they have all the time they need to save; the
exit code is the command's own; what went wrong is said once, in its own words.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from copgen.runtime.environment import rank_variables
from copgen.runtime.errors import EnvironmentFault, ExitCode

GRACE_S = 30.0  # for the others, once one has ended with an error
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
_PR_SET_PDEATHSIG = 1


def launch(command: Sequence[str], ranks: int) -> int:
    """Run a command as several ranks; the first one speaks. Returns its exit code.

    Raises:
        CopgenError: the first rank could not say what happened: the fault that another left, or that one was killed.
    """
    import torch.distributed

    from copgen.runtime.ranks import last_words

    distributed: Any = torch.distributed  # exports it untyped
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, frame: FrameType | None) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    previous = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        for rank in range(ranks):
            children.append(
                subprocess.Popen(
                    command,
                    env=rank_variables(rank, ranks, store.port),
                    stdout=None if rank == 0 else subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
                    preexec_fn=end_with_parent,
                )
            )
        first_lost = _wait(children)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)
    code = children[0].returncode
    if code in set(ExitCode):
        return code
    lost = children[first_lost].returncode
    how = f"was ended by {signal.Signals(-lost).name}" if lost < 0 else f"ended with code {lost}"
    raise last_words(store, EnvironmentFault(f"Rank {first_lost} {how}.", fix="The same command goes on."))


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int:
    """Until all have ended, or the time of grace after a first failure is over; the number of that rank, or 0."""
    lost, until = 0, float("inf")
    while any(child.poll() is None for child in children) and time.monotonic() < until:
        failed = [rank for rank, child in enumerate(children) if child.poll()]
        if failed and until == float("inf"):
            lost, until = failed[0], time.monotonic() + GRACE_S
        time.sleep(0.02)
    if until == float("inf"):
        lost = next((rank for rank, child in enumerate(children) if child.poll()), 0)
    return lost


def end_with_parent() -> None:
    """For a child, before it runs: when the thread that started it dies, it is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
