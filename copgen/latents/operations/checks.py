"""Argument checks of the operations on latents; errors name the argument."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from copgen.runtime.errors import UsageError

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_latents(name: str, z: Tensor) -> None:
    """A floating (K, d) tensor with d > 0."""
    if z.dim() != 2 or z.shape[1] == 0:
        raise UsageError(f"{name} has shape {tuple(z.shape)}.", fix="Expected (K, d): one latent per row, d > 0.")
    if z.dtype not in FLOATING:
        raise UsageError(f"{name} is {z.dtype}.", fix="Expected float16, bfloat16, float32 or float64.")


def check_delta(delta: float | None) -> None:
    """None, or a finite, non-negative number."""
    number = isinstance(delta, (int, float)) and not isinstance(delta, bool)
    if delta is not None and not (number and 0 <= delta < math.inf):
        raise UsageError(f"delta is {delta!r}.", fix="Pass a finite, non-negative number, or None for no bound.")


def check_weight(name: str, w: Tensor, shape: tuple[int, ...], z: Tensor) -> None:
    """A weight of this shape, on z's device, in z's dtype, or bfloat16 with float32 latents."""
    if w.shape != shape:
        raise UsageError(f"{name} has shape {tuple(w.shape)}.", fix=f"Expected {shape}, given the other arguments.")
    if w.dtype != z.dtype and not (w.dtype == torch.bfloat16 and z.dtype == torch.float32):
        raise UsageError(f"z is {z.dtype} and {name} {w.dtype}.", fix="Pass both in the same dtype.")
    if w.device != z.device:
        raise UsageError(f"z is on {z.device} and {name} on {w.device}.", fix="Move them to one device.")


def check_navigator(z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> None:
    """Latents, and the weights of a matching navigator."""
    check_latents("z", z)
    if w1.dim() != 2 or w1.shape[0] == 0:
        raise UsageError(f"w1 has shape {tuple(w1.shape)}.", fix="Expected (H, d): hidden units by coordinates, H > 0.")
    width, dim = w1.shape[0], z.shape[1]
    check_weight("w1", w1, (width, dim), z)
    check_weight("b1", b1, (width,), z)
    check_weight("w2", w2, (dim, width), z)
    check_weight("b2", b2, (dim,), z)


def check_pair(z: Tensor, z_pos: Tensor) -> None:
    """Latents before and after, with the same shape, dtype and device."""
    check_latents("z", z)
    check_latents("z_pos", z_pos)
    if z.shape != z_pos.shape:
        raise UsageError(
            f"z has shape {tuple(z.shape)} and z_pos {tuple(z_pos.shape)}.", fix="Expected (K, d) for both."
        )
    if z.dtype != z_pos.dtype:
        raise UsageError(f"z is {z.dtype} and z_pos {z_pos.dtype}.", fix="Pass both in the same dtype.")
    if z.device != z_pos.device:
        raise UsageError(f"z is on {z.device} and z_pos on {z_pos.device}.", fix="Move them to one device.")
