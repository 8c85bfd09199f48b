"""The memory of a device: the peak of a call, how much is free, and errors when it does not suffice."""

from __future__ import annotations

import ctypes
import gc
import resource
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch

from copgen.runtime.cgroup import memory_left
from copgen.runtime.errors import EnvironmentFault

P = ParamSpec("P")
R = TypeVar("R")
_RESET_PEAK = "5"  # written to /proc/self/clear_refs, resets the peak (proc(5))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means out of memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def out_of_memory_as(
    fault: Callable[[Any, Mapping[str, Any]], EnvironmentFault],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for functions whose first argument is the settings of a stage.

    Args:
        fault: the settings, and what was passed by name -> the error that is raised when memory does not suffice.
    """

    def decorated(stage: Callable[P, R]) -> Callable[P, R]:
        @wraps(stage)
        def reporting(*args: P.args, **how: P.kwargs) -> R:
            try:
                return stage(*args, **how)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise fault(args[0] if args else how["settings"], how) from error

        return reporting

    return decorated


def peak_of(call: Callable[[], object], device: torch.device) -> int | None:
    """The peak of bytes that a call allocates above the current level; None if the system does not report it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # memory cached by malloc would not be counted
    reset.write_text(_RESET_PEAK)
    resident = _status("VmRSS")
    call()
    return max(_status("VmHWM") - resident, 0)


def resident() -> int:
    """The resident memory of this process in bytes (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def free(device: torch.device) -> int | None:
    """The free memory in bytes; None if the system does not report it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0] + (
            torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        )
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
    available = int(line.split()[1]) * 1024
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    limits = [limit - _status("VmSize")] if limit != resource.RLIM_INFINITY else []
    limits += [left] if (left := memory_left()) is not None else []  # of a container
    return min([available, *limits])


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
