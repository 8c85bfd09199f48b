"""Latents by (seed, index): row k of a draw is a function of the seed and of k alone.

The native draw has the reference's very bits on the CPU: it computes Philox's words itself and then calls the functions
that the reference calls. On CUDA the two agree to float32's rounding.
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
        dim: coordinates, not negative.
        seed: decides the numbers, together with the stream.
        scale: factor on the draw, finite.
        threshold: draw from the normal that is conditioned on |value| <= threshold, before the scale; None: all of it.
        stream: a name; draws of different streams are independent.
        device: where; by default that of `indices`, or the CPU.

    Raises:
        UsageError: an argument that cannot be meant.
    """
    if isinstance(indices, Tensor) and (indices.dim() != 1 or indices.is_floating_point() or indices.is_complex()):
        raise UsageError(
            f"indices is a {indices.dtype} tensor of shape {tuple(indices.shape)}.", fix="It is a list of integers."
        )
    if dim < 0:
        raise UsageError(f"dim is {dim}.", fix="It is not negative.")
    if not math.isfinite(scale):
        raise UsageError(f"scale is {scale}.", fix="It is finite.")
    if threshold is not None and not threshold > 0:
        raise UsageError(f"threshold is {threshold}.", fix="It is positive, or None for the whole normal.")
    rows = philox.as_rows(indices, device)
    if choose("draw_latents", rows.device, torch.float32).name != "native":
        return reference.draw_latents(rows, seed, stream, dim, scale, threshold).float()
    from copgen.latents.operations import operators

    return operators.draw_latents(rows, philox.stream_key(seed, stream), dim, scale, threshold)
