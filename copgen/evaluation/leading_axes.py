"""The principal axes of a bank, and what vectors have along the first of them: the numbers that bound products.

Split into their coordinates along the first m axes and the rest, vectors have products of

    q . b  <=  q1 . b1 + |q2| |b2|

by Cauchy-Schwarz: itself a product, of m + 1 numbers. The fewer directions features vary in, the tighter it is.

The coordinates and |b2| are computed in float64 and rounded once. |b2| is never too small: what rounding can take off
its square is added.

Legend: N vectors, D dimension, m axes, K vectors that are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

AT_ONCE = 4096  # vectors, in float64
ASSIGNED = 16_384  # vectors, whose products with all centres are known at once: 82 MB for 1,250 centres
SAMPLE = 4096  # rows that give the axes
DIRECTIONS, ROUNDS = 32, 6  # of k-means


def principal_axes(bank: Tensor) -> tuple[Tensor, Tensor]:
    """Of unit vectors (N, D), not centred.

    Returns:
        (D, D) float64, an axis in each column, and (D,): the share of the squares that lies beyond the first, the first
        two ... of them, not counting the first axis, the mean.
    """
    sample = bank[:: max(1, len(bank) // SAMPLE)].double()
    squares, axes = torch.linalg.eigh(sample.T @ sample)  # ascending
    squares = squares.clamp(min=0.0).flip(0)
    beyond = squares.sum() - squares.cumsum(0)
    return axes.flip(1), (beyond / beyond[0].clamp(min=1e-12)).clamp(min=0.0)


def coordinates_of(unit: Tensor, axes: Tensor, ends: Sequence[int]) -> list[Tensor]:
    """Of vectors along axes, in as many steps as there are `ends`.

    Args:
        unit: (N, D), of length 1 or less.
        axes: (D, the last of `ends`) float64, orthonormal.
        ends: after how many axes each step ends.

    Returns:
        Of each step (N, its axes + 1): the coordinates along them, then the length of what lies beyond.
    """
    steps = [unit.new_empty(len(unit), end - start + 1) for start, end in pairwise((0, *ends))]
    rounding = 4 * len(axes) * torch.finfo(torch.float64).eps
    for start in range(0, len(unit), AT_ONCE):
        block = unit[start : start + AT_ONCE].double()
        along = torch.split(block @ axes, [step.shape[1] - 1 for step in steps], dim=1)
        rest = block.square().sum(dim=1)
        for step, coordinates in zip(steps, along, strict=True):
            rest = rest - coordinates.square().sum(dim=1)
            rows = step[start : start + len(block)]
            rows[:, :-1], rows[:, -1] = coordinates, (rest.clamp(min=0.0) + rounding).sqrt()
    return steps


def alike(coordinates: Tensor, size: int) -> list[Tensor]:
    """Row numbers of coordinates (N, m + 1) in blocks of `size` that are alike, by k-means; the last may be smaller."""
    vectors = coordinates[:, :DIRECTIONS].contiguous()
    count = -(-len(vectors) // size)
    centres = vectors[torch.arange(count) * len(vectors) // count].clone()
    for _ in range(ROUNDS):
        squares = centres.square().sum(dim=1)
        blocks = torch.split(vectors, ASSIGNED)
        nearest = torch.cat([torch.addmm(squares, some, centres.T, beta=-0.5).argmax(dim=1) for some in blocks])
        sizes = torch.bincount(nearest, minlength=count)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return list(torch.split(nearest.argsort(stable=True), size))


def mean_of_each(coordinates: Tensor, size: int) -> Tensor:
    """(blocks, m + 1) of coordinates (N, m + 1) in blocks of `size`, the last perhaps smaller."""
    return torch.stack([block.mean(dim=0) for block in torch.split(coordinates, size)])
