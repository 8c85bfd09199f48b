"""Which implementation an operation on latents runs, and why; the one place where that is decided.

native     C++ for the CPU and CUDA kernels (csrc/), where they were built: float32, float64 and bfloat16
reference  anything else: plain PyTorch
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from copgen.runtime.native import native

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
    if not library.usable:
        return Choice("reference", library.reason)
    if device.type not in ("cpu", "cuda"):
        return Choice("reference", f"there is no kernel for devices of type {device.type}")
    if operation == "draw_latents" and dtype != torch.float32:
        return Choice("reference", "native draws are float32, which latents are")
    if dtype not in (torch.float32, torch.float64, torch.bfloat16):
        return Choice("reference", f"there is no kernel for {str(dtype).removeprefix('torch.')}")
    if device.type == "cpu":
        return Choice("native", library.reason)
    if not library.cuda:
        return Choice("reference", "the native operators were built without CUDA")
    return Choice("native", f"CUDA kernels for {library.built['architectures']}")


def is_native(operation: Operation, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the native operator runs."""
    return choose(operation, device, dtype).name == "native"


# A constant for compiled code, marked as `copgen.runtime.philox.stream_key` is: the decorator takes a second to import.
vars(is_native)["_dynamo_marked_constant"] = True
