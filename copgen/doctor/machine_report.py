"""`copgen doctor`: hardware and software of this machine; which implementation of each operation it runs, and why."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from copgen.doctor.self_test import failed, self_tests
from copgen.runtime.dispatch import NARROW, TABLE, Choice, choose, depends_on_width
from copgen.runtime.machine import describe
from copgen.runtime.native import native
from copgen.runtime.triton_build import triton_version

INPUTS = "inputs of the self-tests"


def examine(*, self_test: bool = True) -> dict[str, Any]:
    """The properties of this machine that determine speed.

    Args:
        self_test: also compare every operation with its reference, and time both, on every device; about two seconds.

    Returns:
        versions, python, system, threads; `devices`: a name and, for CUDA, the compute capability and memory in bytes;
        `native`: the build of the native operators, empty without them; `native_reason`: why they run, or what is
        missing and the command that builds them;
        `operations`: for each operation, device and dtypes the implementation that is chosen, and the reason;
        `self_tests`: for each operation and device the difference from float64, whether it is within tolerance, and
        microseconds; if it raised an exception, or the difference is not a finite number, `failure` says so, and what
        was not measured is None.
    """
    about = describe(torch.device("cpu"))
    about["versions"]["triton"] = triton_version()
    about.pop("device")
    devices = [{"device": "cpu", "name": processor_name()}, *map(_cuda, range(torch.cuda.device_count()))]
    places = [torch.device(device["device"]) for device in devices]
    operations = [row for place in places for row in _operations(place)]
    results = [row for place in (places if self_test else ()) for row in _results(place)]
    library = {"native": native().built, "native_reason": native().reason}
    return {**about, **library, "devices": devices, "operations": operations, "self_tests": results}


def _results(device: torch.device) -> Iterator[dict[str, Any]]:
    """The self-tests of a device; if their inputs cannot be made there, that is the failed one."""
    try:
        for one in self_tests(device):
            yield {"operation": one.operation, "device": str(device), **one.run(device)}
    except Exception as error:
        yield {"operation": INPUTS, "device": str(device), **failed(error)}


def processor_name() -> str:
    """The processor's name, or its architecture."""
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


def _operations(device: torch.device) -> Iterator[dict[str, Any]]:
    """For each operation, one row per group of dtypes, and of widths if they matter, that share an implementation."""
    for operation, operator in TABLE.items():
        rows: dict[Choice, dict[str, list[str]]] = {}
        for wide in (False, True) if depends_on_width(operation) else (False,):
            layers = f"above {NARROW}" if wide else f"up to {NARROW}"
            for dtype in operator.dtypes:
                widths = rows.setdefault(choose(operation, device, dtype, wide=wide), {})
                widths.setdefault(layers, []).append(str(dtype).removeprefix("torch."))
        for choice, widths in rows.items():
            same = len(widths) == 2 and len({tuple(dtypes) for dtypes in widths.values()}) == 1
            for layers, dtypes in [*widths.items()][: 1 if same else None]:
                matters = depends_on_width(operation) and not same
                yield {
                    "operation": operation,
                    "device": str(device),
                    "dtypes": dtypes,
                    **({"layers": layers} if matters else {}),
                    "runs": choice.name,
                    "reason": choice.reason,
                }
