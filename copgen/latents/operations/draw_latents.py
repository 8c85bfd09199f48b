"""Latents by (seed, index): row k of a draw is a function of the seed and k only.

On the CPU, the native operator is bitwise equal to the reference: it computes the Philox words itself and then calls
the same functions. On CUDA, the two agree up to float32 rounding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from copgen.latents.operations import reference
from copgen.runtime import philox
from copgen.runtime.dispatch import choose
from copgen.runtime.errors import UsageError


def draw_latents(
    indices: philox.Rows,
    *,
    dim: int,
    seed: int,
    scale: float = 1.0,
    threshold: float | None = None,
    stream: str = "latents",
    device: torch.device | str | None = None,
) -> Tensor:
    """Normal latents (K, dim), float32.

    Args:
        indices: the rows' numbers in the run: a range, a list, or an integer tensor (K,).
        dim: number of coordinates, not negative.
        seed: with the stream, determines the numbers.
        scale: factor on the draw, finite.
        threshold: truncation |value| <= threshold of the normal, before the scale; None: not truncated.
        stream: a name; draws of different streams are independent.
        device: by default that of `indices`, or the CPU.

    Raises:
        UsageError: an invalid argument.
    """
    if isinstance(indices, Tensor) and (indices.dim() != 1 or indices.is_floating_point() or indices.is_complex()):
        raise UsageError(
            f"indices is a {indices.dtype} tensor of shape {tuple(indices.shape)}.", fix="Expected a list of integers."
        )
    if dim < 0:
        raise UsageError(f"dim is {dim}.", fix="Pass 0 or more.")
    if not math.isfinite(scale):
        raise UsageError(f"scale is {scale}.", fix="Pass a finite number.")
    if threshold is not None and not threshold > 0:
        raise UsageError(
            f"threshold is {threshold}.", fix="Pass a positive number, or None for a normal that is not truncated."
        )
    rows = philox.as_rows(indices, device)
    if choose("draw_latents", rows.device, torch.float32).name != "native":
        return reference.draw_latents(rows, seed, stream, dim, scale, threshold).float()
    from copgen.latents.operations import operators

    return operators.draw_latents(rows, philox.stream_key(seed, stream), dim, scale, threshold)
