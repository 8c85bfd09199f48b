"""Precision and compilation of a training step: the dtype of weights and losses, autocast, torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from copgen.runtime.machine import has_bfloat16
from copgen.training.names import Compile, Precision


def dtype_of(precision: Precision) -> torch.dtype:
    """The dtype of weights, latents and losses; bfloat16 only affects the networks' arithmetic (`autocast`)."""
    return torch.float64 if precision == "float64" else torch.float32


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which networks compute in bfloat16, if that is the precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def warning_about(precision: Precision, device: torch.device) -> str:
    """What to warn of: a precision that is slower on this device than the default; else empty."""
    if precision != "bfloat16" or has_bfloat16(device):
        return ""
    return f"This {device.type} has no bfloat16 instructions, and is many times slower. Use --precision float32."


def compiler(mode: Compile) -> Callable[[nn.Module], Any]:
    """torch.compile in a mode; "off" returns the module itself."""
    if mode == "off":
        return lambda module: module
    return partial(torch.compile, mode=mode, dynamic=False)


def uses_cuda_graphs(mode: Compile) -> bool:
    """Whether compiled modules overwrite the results of the previous call."""
    return mode in ("reduce-overhead", "max-autotune")
