"""Argument checks of the contrastive losses info_nce and sup_con."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from copgen.objectives.kernel_interface import chosen
from copgen.runtime.errors import UsageError, unknown

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_embeddings(name: str, h: Tensor) -> None:
    """Check for a (rows, D) tensor with D > 0 of a supported dtype."""
    if h.dim() != 2 or h.shape[1] == 0:
        raise UsageError(f"{name} has shape {tuple(h.shape)}.", fix="Expected (rows, D): one embedding per row, D > 0.")
    if h.dtype not in FLOATING:
        raise UsageError(f"{name} is {h.dtype}.", fix="Expected float16, bfloat16, float32 or float64.")


def check_alike(name: str, h: Tensor, first_name: str, first: Tensor) -> None:
    """Check for the dtype and device of the first argument."""
    if h.dtype != first.dtype:
        raise UsageError(
            f"{first_name} is {first.dtype} and {name} {h.dtype}.", fix="Pass both in the same floating-point dtype."
        )
    check_device(name, h, first_name, first)


def check_device(name: str, x: Tensor, first_name: str, first: Tensor) -> None:
    """Check for the device of the first argument."""
    if x.device != first.device:
        raise UsageError(f"{first_name} is on {first.device} and {name} on {x.device}.", fix="Move them to one device.")


def check_temperature(temperature: float | Tensor, first_name: str, first: Tensor) -> None:
    """Check for a positive, finite number or a tensor with one element, whose value is checked on the CPU only."""
    if isinstance(temperature, Tensor):
        if temperature.numel() != 1 or not temperature.is_floating_point():
            raise UsageError(
                f"temperature is a {temperature.dtype} tensor of shape {tuple(temperature.shape)}.",
                fix="Expected a number, or a floating-point tensor with one element.",
            )
        check_device("temperature", temperature, first_name, first)
        if temperature.device.type != "cpu" or torch.compiler.is_compiling():
            return
        value = temperature.item()
    else:
        value = temperature
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise UsageError(f"temperature is {value!r}.", fix="It must be positive and finite.")


def check_one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    """Check for a known value."""
    if value not in known:
        raise unknown(what, value, known)


def check_rows(name: str, h: Tensor, group: ProcessGroup | None) -> None:
    """Check for at least two rows in all, and for an implementation that supports several ranks."""
    if len(h) * (1 if group is None else max(group.size(), 1)) < 2 or len(h) == 0:
        raise UsageError(
            f"{name} has shape {tuple(h.shape)}.",
            fix="Pass at least 2 rows: the negatives of a row are the other rows.",
        )
    if group is not None and chosen(h) == "reference":
        raise UsageError(
            f"The contrastive loss over several ranks does not support {h.dtype} on {h.device}.",
            fix="Use the CPU, or a 16-bit or float32 dtype on CUDA.",
        )
