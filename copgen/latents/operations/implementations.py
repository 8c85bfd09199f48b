"""Which implementation an operation on latents runs, and why; the one place where that is decided.

native     C++ for the CPU and CUDA kernels (csrc/), where they were built: float32, float64 and bfloat16
reference  anything else: plain PyTorch
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import torch

from copgen.runtime.native import Native, native

Operation = Literal["navigate", "constrain", "draw_latents"]
Name = Literal["native", "reference"]
OPERATIONS: tuple[Operation, ...] = ("navigate", "constrain", "draw_latents")


@dataclass(frozen=True)
class Choice:
    """An implementation's name, and one sentence on why it is the one."""

    name: Name
    reason: str


def choose(operation: Operation, device: torch.device, dtype: torch.dtype) -> Choice:
    """The implementation for latents of this device and dtype."""
    library = native()
    hindrance = _hindrance(library, operation, device.type, dtype)
    if hindrance:
        return Choice("reference", hindrance)
    return Choice(
        "native", library.reason if device.type == "cpu" else f"CUDA kernels for {library.built['architectures']}"
    )


def is_native(operation: Operation, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the native operator runs."""
    return not _hindrance(native(), operation, device.type, dtype)


@functools.cache
def _hindrance(library: Native, operation: Operation, kind: str, dtype: torch.dtype) -> str:
    """Why the native operator cannot run on that type of device; empty where it can."""
    if not library.usable:
        return library.reason
    if kind not in ("cpu", "cuda"):
        return f"there is no kernel for devices of type {kind}"
    if operation == "draw_latents" and dtype != torch.float32:
        return "native draws are float32, which latents are"
    if dtype not in (torch.float32, torch.float64, torch.bfloat16):
        return f"there is no kernel for {str(dtype).removeprefix('torch.')}"
    if kind == "cuda" and not library.cuda:
        return "the native operators were built without CUDA"
    return ""


# A constant for compiled code, marked as `copgen.runtime.philox.stream_key` is: the decorator takes a second to import.
vars(is_native)["_dynamo_marked_constant"] = True
