"""`copgen doctor`: what this machine offers, and which implementation of each operation runs on it, and why."""

from __future__ import annotations

import contextlib
import importlib.util
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from copgen.objectives import implementations
from copgen.runtime.machine import describe

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def examine() -> dict[str, Any]:
    """What determines speed here.

    Returns:
        versions, python, system, threads; `devices`: a name and, for CUDA, the compute capability and memory in bytes;
        `operations`: for each operation, device and dtypes the implementation that is chosen, and the reason.
    """
    about = describe(torch.device("cpu"))
    about["versions"]["triton"] = metadata.version("triton") if importlib.util.find_spec("triton") else "not installed"
    about.pop("device")
    devices = [{"device": "cpu", "name": processor_name()}, *map(_cuda, range(torch.cuda.device_count()))]
    operations = [row for device in devices for row in _contrastive(torch.device(device["device"]))]
    return {**about, "devices": devices, "operations": operations}


def processor_name() -> str:
    """The processor's name as the system gives it, or the architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cuda(index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    return {
        "device": f"cuda:{index}",
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": properties.total_memory,
    }


def _contrastive(device: torch.device) -> list[dict[str, Any]]:
    """The contrastive losses on a device: one row for the dtypes that share an implementation."""
    rows: dict[implementations.Choice, list[str]] = {}
    for dtype in DTYPES:
        rows.setdefault(implementations.choose(device, dtype), []).append(str(dtype).removeprefix("torch."))
    return [
        {
            "operation": "contrastive loss",
            "device": str(device),
            "dtypes": dtypes,
            "runs": choice.name,
            "reason": choice.reason,
        }
        for choice, dtypes in rows.items()
    ]
