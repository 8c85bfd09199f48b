"""Out of memory in an evaluation, as an error that names the settings that it has and that need less."""

from __future__ import annotations

from copgen.runtime.declaration import declaration
from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.machine import resolve_device
from copgen.runtime.memory import out_of_memory_as
from copgen.runtime.settings import Settings

SMALLER = ("batch", "train_batch", "max_side")


def fault(settings: Settings) -> EnvironmentFault:
    """The error for an evaluation with these settings; each rank reports its own, as it has its own device."""
    device = resolve_device(str(getattr(settings, "device", "cpu")))
    fields = type(settings).model_fields
    lower = [_named(settings, name) for name in SMALLER if name in fields]
    ways = [f"lower {' or '.join(lower)}"] if lower else []
    ways.append("pass --device cpu" if device.type != "cpu" else "run it on a machine with more memory")
    text = ", or ".join(ways)
    error = EnvironmentFault(f"{device} is out of memory.", fix=f"{text[0].upper()}{text[1:]}.")
    error.of_one_rank = True
    return error


memory_errors = out_of_memory_as(lambda settings, _: fault(settings))


def _named(settings: Settings, name: str) -> str:
    """A setting as a user gives it, by its flag or in a settings file, with its value if it has one."""
    declared = declaration(type(settings).model_fields[name])
    has_flag = declared is not None and declared.flag is not None
    value = getattr(settings, name)
    words = f"--{name.replace('_', '-')}" if has_flag else f"{name} in a --config file"
    return words if value is None else f"{words} ({value:,})"
