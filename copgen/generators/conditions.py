"""Conditions of conditional generators: rows of a table of classes or instances, drawn and checked."""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.runtime import philox
from copgen.runtime.errors import UsageError


def draw_rows(indices: philox.Rows, count: int, *, seed: int, device: torch.device) -> Tensor:
    """Uniform row numbers in [0, count), int64 (N,); row k is a function of (seed, indices[k])."""
    u = philox.uniform(seed, indices, 1, stream="conditions", device=device)[:, 0]
    return (u * count).long()


def check_rows(
    condition: Tensor | None, count: int, *, name: str, kind: str, vector: str, width: int | None = None
) -> Tensor:
    """A condition that the generator `name` can take: row numbers (N,) below `count`, or vectors (N, width).

    Args:
        condition: what was given.
        count: rows of the table; 0 when there is none.
        name: the generator's, for the error.
        kind: what a row is: class, instance.
        vector: what the vectors are: class weights, features.
        width: of the vectors; `count` when None.

    Raises:
        UsageError: nothing was given, a row is out of range, or the shape is neither.
    """
    width = count if width is None else width
    if condition is None:
        raise UsageError(
            f"'{name}' needs a condition: {kind} indices (N,) or {vector} (N, {width}).",
            fix="G.sample_condition(indices, seed) draws one.",
        )
    if condition.is_floating_point():
        if condition.dim() != 2 or condition.shape[1] != width:
            raise UsageError(f"'{name}' takes {vector} (N, {width}), not {tuple(condition.shape)}.")
        return condition
    if condition.dim() != 1 or condition.dtype == torch.bool:
        raise UsageError(
            f"'{name}' takes {kind} indices (N,), not {condition.dtype} of shape {tuple(condition.shape)}."
        )
    if count == 0:
        raise UsageError(
            f"'{name}' was loaded without stored instances, so {kind} indices mean nothing to it.",
            fix="Load it with instances=FILE, or give features.",
        )
    # Compiled code cannot branch on values; there the lookup itself refuses.
    if not torch.compiler.is_compiling():
        outside = condition[(condition < 0) | (condition >= count)]
        if outside.numel():
            raise UsageError(f"There is no {kind} {int(outside[0])} in '{name}'; it has 0 to {count - 1}.")
    return condition.long()
