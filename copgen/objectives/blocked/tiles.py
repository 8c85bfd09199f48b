"""Blocks of logits, split into tiles that fit the cache.

A segment is a matrix of unit rows: h, h_pos or the further negatives. A block is all products of one segment's rows
with another's, and a tile is a part of a block that is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from copgen.objectives.blocked import products

HEIGHT = 256
WIDTH = 1024  # 1 MiB of float32 logits: a tile and one temporary of its size fit the L2 cache
SMALLEST = {torch.float32: -87.0, torch.float64: -708.0}  # their exponentials are the smallest normal numbers
LOWEST_SHARED_SHIFT = 0.025  # |s| <= 1 / tau = 40: exponentials and their sums fit float32 with a wide margin


@dataclass(frozen=True)
class Block:
    """All products of the rows of segment `row` with those of segment `column`.

    Attributes:
        row, column: which segments; 0 is h, 1 h_pos, 2 the further negatives.
        rows, columns: their rows (R, D) and (C, D). With several ranks `columns` are those of all ranks.
        diagonal: column k + diagonal is row k itself or its positive; None if there is no diagonal.
        mirrored: the products serve the columns as well as the rows.
    """

    row: int
    column: int
    rows: Tensor
    columns: Tensor
    diagonal: int | None
    mirrored: bool

    @property
    def symmetric(self) -> bool:
        """Rows and columns are the same: tiles below the diagonal are mirror images of those above it."""
        return self.mirrored and self.columns is self.rows

    def tiles(self) -> Iterator[Tile]:
        """The tiles, in the order of their rows."""
        row_count, column_count = self.rows.shape[0], self.columns.shape[0]
        for top in range(0, row_count, HEIGHT):
            bottom = min(top + HEIGHT, row_count)
            rows, z_rows = slice(top, bottom), self.rows[top:bottom]
            for left in range(top if self.symmetric else 0, column_count, WIDTH):
                right = min(left + WIDTH, column_count)
                # In a symmetric block, the square on the diagonal holds both entries of a pair, so its columns are
                # already served as rows.
                served = max(bottom, left) if self.symmetric else left
                mirror = slice(served, right) if self.mirrored and served < right else None
                yield Tile(self, rows, slice(left, right), mirror, z_rows, self.columns[left:right])


class Tile(NamedTuple):
    """Some rows of a block against some of its columns.

    Attributes:
        mirror: the columns of the segment that the products serve as well; None if only the rows are served.
        z_rows, z_columns: the rows and columns themselves, (R, D) and (C, D).
    """

    block: Block
    rows: slice
    columns: slice
    mirror: slice | None
    z_rows: Tensor
    z_columns: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def within(self, scratch: Tensor) -> Tensor:
        """A matrix of the tile's shape in the flat buffer `scratch`."""
        height, width = self.shape
        return scratch[: height * width].view(height, width)

    def logits(self, scratch: Tensor, scale: float) -> Tensor:
        """Products of rows and columns times `scale`, in the flat buffer `scratch`."""
        out = self.within(scratch)
        return torch.addmm(out, self.z_rows, self.z_columns.T, beta=0.0, alpha=scale, out=out)

    @property
    def diagonal(self) -> int | None:
        """Row k of the tile has its column k + diagonal on the block's diagonal; None if the tile has none."""
        return None if self.block.diagonal is None else self.rows.start + self.block.diagonal - self.columns.start

    def fill_diagonal(self, values: Tensor, value: float) -> None:
        """Set the entries on the block's diagonal, if any are in this tile."""
        height, width = self.shape
        if self.diagonal is not None and -height < self.diagonal < width:
            values.diagonal(self.diagonal).fill_(value)

    def exponentials(
        self,
        scratch: Tensor,
        tau: float,
        row_weights: Tensor | None = None,
        column_weights: Tensor | None = None,
    ) -> Tensor:
        """The exponentials (R, C) of the logits, 0 on the diagonal, in the flat buffer `scratch`.

        They are multiplied by the weights (R,) of the rows, (C,) of the columns, or by the sums of both.
        """
        return products.exponentials(
            self.z_rows,
            self.z_columns,
            tau,
            scratch,
            diagonal=self.diagonal,
            row_weights=row_weights,
            column_weights=column_weights,
        )

    def add_exponentials(self, scratch: Tensor, tau: float, of_rows: Tensor, of_columns: Tensor) -> None:
        """Add the exponentials, except the diagonal, to the sums of the segments' rows and, mirrored, columns."""
        sums = None if self.mirror is None else of_rows.new_zeros(self.shape[1])
        products.add_sums(
            self.z_rows,
            self.z_columns,
            tau,
            scratch,
            diagonal=self.diagonal,
            row_sums=of_rows[self.rows],
            column_sums=sums,
        )
        if self.mirror is not None and sums is not None:
            of_columns[self.mirror] += sums[self.mirror.start - self.columns.start :]

    def mirrored(self, values: Tensor) -> Tensor:
        """The part of the tile's values that belongs to the columns `mirror`."""
        assert self.mirror is not None
        return values[:, self.mirror.start - self.columns.start :]


def scratch_for(blocks: list[Block]) -> Tensor:
    """A flat buffer in the blocks' dtype that holds their largest tile."""
    size = max(min(HEIGHT, block.rows.shape[0]) * min(WIDTH, block.columns.shape[0]) for block in blocks)
    return blocks[0].rows.new_empty(size)


def exponentials(s: Tensor) -> Tensor:
    """e^s for s up to about 0, in place; never denormal, as CPUs process denormals fifty times slower."""
    return s.clamp_(min=SMALLEST[s.dtype]).exp_()


def shares_shift(temperature: float, bounded: bool) -> bool:
    """Whether exponentials of logits need no maximum per row."""
    return bounded and temperature > LOWEST_SHARED_SHIFT
