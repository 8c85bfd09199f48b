"""Out of memory in `copgen sample`, as an error that says what needs less: batches of fewer pairs.

One of several workers warns of it and ends, and the others take over its work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.machine import resolve_device
from copgen.runtime.memory import is_out_of_memory
from copgen.stages.sample.settings import SampleSettings

P = ParamSpec("P")
R = TypeVar("R")


def memory_errors(stage: Callable[P, R]) -> Callable[P, R]:
    """A function whose first argument is the settings, and that reports out of memory.

    Raises:
        EnvironmentFault: out of memory.
    """

    @wraps(stage)
    def reporting(*args: P.args, **how: P.kwargs) -> R:
        try:
            return stage(*args, **how)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            settings = args[0] if args else how["settings"]
            assert isinstance(settings, SampleSettings)
            raise fault(settings, again=bool(how.get("only"))) from error

    return reporting


def fault(settings: SampleSettings, *, again: bool) -> EnvironmentFault:
    """The error for these settings; `again`: shards of a folder are regenerated, whose plan has the batch."""
    device = resolve_device(settings.device)
    return EnvironmentFault(
        f"{device} is out of memory with batches of {settings.batch:,} pairs.",
        fix="The batch is part of the plan: use a device with as much memory as the one that wrote the pairs."
        if again
        else "Lower --batch, which is part of the plan: with --overwrite, or another --out.",
    )
