"""Out of memory in `copgen sample`, as an error that says what needs less: batches of fewer pairs.

One of several workers warns of it and ends, and the others take over its work.
"""

from __future__ import annotations

from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.machine import resolve_device
from copgen.runtime.memory import out_of_memory_as
from copgen.stages.sample.settings import SampleSettings


def fault(settings: SampleSettings, *, again: bool) -> EnvironmentFault:
    """The error for these settings; `again`: shards of a folder are regenerated, whose plan has the batch."""
    device = resolve_device(settings.device)
    return EnvironmentFault(
        f"{device} is out of memory with batches of {settings.batch:,} pairs.",
        fix="The batch is part of the plan: use a device with as much memory as the one that wrote the pairs."
        if again
        else "Lower --batch, which is part of the plan: with --overwrite, or another --out.",
    )


memory_errors = out_of_memory_as(lambda settings, how: fault(settings, again=bool(how.get("only"))))
