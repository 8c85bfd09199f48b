"""`copgen doctor`: what this machine offers, and which implementation of each operation runs on it, and why."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from copgen.doctor.self_test import trials
from copgen.generators.residual_flow import anderson, silu_layers
from copgen.latents.operations import implementations as latents
from copgen.objectives import implementations
from copgen.runtime import philox
from copgen.runtime.machine import describe
from copgen.runtime.native import native

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def examine(*, try_out: bool = True) -> dict[str, Any]:
    """What determines speed here.

    Args:
        try_out: also hold every operation against its reference, and time both, on every device; about two seconds.

    Returns:
        versions, python, system, threads; `devices`: a name and, for CUDA, the compute capability and memory in bytes;
        `native`: how the native operators were built, empty without them;
        `operations`: for each operation, device and dtypes the implementation that is chosen, and the reason;
        `trials`: for each operation and device the difference from float64, whether it passed, and microseconds.
    """
    about = describe(torch.device("cpu"))
    about["versions"]["triton"] = metadata.version("triton") if importlib.util.find_spec("triton") else "not installed"
    about.pop("device")
    devices = [{"device": "cpu", "name": processor_name()}, *map(_cuda, range(torch.cuda.device_count()))]
    places = [torch.device(device["device"]) for device in devices]
    operations = [
        row
        for place in places
        for row in (*_contrastive(place), *_latents(place), _words(place), _fixed_points(place), *_flow_inverse(place))
    ]
    tried = [
        {"operation": trial.operation, "device": str(place), **trial.carry_out(place)}
        for place in (places if try_out else ())
        for trial in trials(place)
    ]
    return {**about, "native": native().built, "devices": devices, "operations": operations, "trials": tried}


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
    return _rows("contrastive loss", device, lambda dtype: implementations.choose(device, dtype))


def _latents(device: torch.device) -> list[dict[str, Any]]:
    rows = []
    for operation in latents.OPERATIONS:
        rows += _rows(operation, device, functools.partial(latents.choose, operation, device))
    return rows


def _words(device: torch.device) -> dict[str, Any]:
    return _native_or(philox.why_plain(device), "random words", device, ["int64"])


def _fixed_points(device: torch.device) -> dict[str, Any]:
    return _native_or(anderson.why_plain(device), "fixed points", device, ["float32", "float64"])


def _flow_inverse(device: torch.device) -> list[dict[str, Any]]:
    return [
        _native_or(silu_layers.why_plain(device, dtype), "flow inverse", device, [str(dtype).removeprefix("torch.")])
        for dtype in (torch.float32, torch.float64)
    ]


def _native_or(why_plain: str | None, operation: str, device: torch.device, dtypes: list[str]) -> dict[str, Any]:
    runs, reason = ("reference", why_plain) if why_plain else ("native", native().reason)
    return {"operation": operation, "device": str(device), "dtypes": dtypes, "runs": runs, "reason": reason}


def _rows(
    operation: str, device: torch.device, choose: Callable[[torch.dtype], implementations.Choice | latents.Choice]
) -> list[dict[str, Any]]:
    """One row for the dtypes that share an implementation."""
    rows: dict[implementations.Choice | latents.Choice, list[str]] = {}
    for dtype in DTYPES:
        rows.setdefault(choose(dtype), []).append(str(dtype).removeprefix("torch."))
    return [
        {
            "operation": operation,
            "device": str(device),
            "dtypes": dtypes,
            "runs": choice.name,
            "reason": choice.reason,
        }
        for choice, dtypes in rows.items()
    ]
