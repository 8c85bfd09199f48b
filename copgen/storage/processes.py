"""Who a process is, in files that others read: claims of shards, and the locks of folders.

A process number alone says little: numbers are reused, are valid within one container only, and in a container copgen
is often process 1, which exists everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """What identifies this process to others.

    Returns:
        `machine`: the boot of the machine and the PID namespace (the container), empty if the system does not tell;
        `process`: the process number there; `started`: its start, in ticks since the boot, None if not known.
    """
    machine = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        machine = f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"
    return {"machine": machine, "process": os.getpid(), "started": _start_of(os.getpid())}


def is_alive(other: Mapping[str, Any]) -> bool | None:
    """Whether the process with this identity runs; None if that cannot be known here, as of another machine.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: it is no identity.
    """
    machine, process, started = other["machine"], int(other["process"]), other["started"]
    if not machine or machine != identity()["machine"]:
        return None
    found = _start_of(process)
    if found is None and _is_hidden(process):
        return None
    return found is not None and bool(found == started)


def exists(process: int) -> bool:
    """Whether a process of this number exists here, whoever it is."""
    if process <= 0:
        return False  # these are groups
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # it belongs to somebody else
    except (OSError, OverflowError):
        return False
    return True


def _start_of(process: int) -> int | None:
    """The start time of a process of this machine, in ticks since boot; None if there is no such process."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()  # the process name before it may contain anything
    return None if state in "ZX" else int(fields[18])


def _is_hidden(process: int) -> bool:
    """Whether it exists, but /proc, mounted with hidepid, does not show it to this user."""
    return exists(process) and not os.path.exists(f"/proc/{process}")
