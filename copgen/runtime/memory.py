"""Memory of a device: how much a call takes at its peak, and how much there is."""

from __future__ import annotations

import ctypes
import gc
import resource
from collections.abc import Callable
from pathlib import Path

import torch

_RESET_PEAK = "5"  # what Linux wants to read in clear_refs to set the peak back (proc(5))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device had no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def peak_of(call: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that a call allocates at its peak above what is there before; None where the system does not say."""
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
    ctypes.CDLL(None).malloc_trim(0)  # what malloc keeps of earlier calls would not be counted
    reset.write_text(_RESET_PEAK)
    resident = _status("VmRSS")
    call()
    return max(_status("VmHWM") - resident, 0)


def resident() -> int:
    """Bytes of this process that are in memory (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def free(device: torch.device) -> int | None:
    """Bytes that may still be allocated; None where the system does not say."""
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
    return available if limit == resource.RLIM_INFINITY else min(available, limit - _status("VmSize"))


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
