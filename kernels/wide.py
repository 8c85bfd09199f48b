"""Gradients of wide embeddings, whose rows do not fit the registers: chunks of weights and library matrix products.

The weights of a chunk of rows against all columns are written to memory, in the operands' dtype, and multiplied by the
columns. A chunk grows with the batch up to `CHUNK_BYTES`; the sums are float32, whatever the embeddings are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import triton
from torch import Tensor

from .info_nce_backward import write_weights
from .input_precision import input_precision
from .launch_grid import width_of
from .tile_table import WIDEST, operand_of, tile_for

if TYPE_CHECKING:
    from copgen.objectives.batch import Pairs

CHUNK_BYTES = 512 * 2**20  # of weights, at most; may be lowered if memory is scarce


@dataclass(frozen=True)
class _Side:
    """Rows or columns of a block: (count, D), and their offset among all ranks' rows, None if not contrasted."""

    z: Tensor
    base: int | None


def is_wide(z: Tensor) -> bool:
    """Whether rows of this width do not fit the registers."""
    widest: int = WIDEST[operand_of(z)]
    return bool(width_of(z.shape[1]) > widest)


def chunk_rows(columns: Tensor) -> int:
    """How many rows of weights against all `columns` (C, D) are written at a time."""
    return int(max(64, CHUNK_BYTES // (columns.shape[0] * columns.element_size()) // 64 * 64))


def pull(batch: Pairs, numbers: Sequence[Any], *, running: bool, needs: Sequence[bool]) -> Tensor:
    """The weighted sums of columns for the rows of h, h_pos and negatives in order: (1, 2K + M, D), float32.

    `numbers` are log-sum-exp, upstream gradient, 1 - P(positive), the strongest weight, and the temperature.
    """
    (h, h_pos, *_), negatives, both, offset = batch.units, batch.negatives, batch.both, batch.offset
    pairs, D = h.shape
    further = 0 if negatives is None else negatives.shape[0]
    sums = torch.zeros((1, 2 * pairs + further, D), dtype=torch.float32, device=h.device)
    dh, dh_pos, dnegatives = torch.split(sums[0], [pairs, pairs, further])
    base_pos = batch.h_all.shape[0] if both else None

    def add(
        rows: _Side, columns: _Side, diagonal: int | None, of_rows: Tensor | None, of_columns: Tensor | None
    ) -> None:
        count = columns.z.shape[0]
        tile = tile_for("weights", rows.z, rows.z.shape[0], running=running)
        chunk = chunk_rows(columns.z)
        for start in range(0, rows.z.shape[0], chunk):
            part = rows.z[start : start + chunk]
            weights = torch.empty((part.shape[0], count), dtype=part.dtype, device=part.device)
            write_weights[(triton.cdiv(part.shape[0], tile.rows), triton.cdiv(count, tile.columns))](
                rows.z, columns.z, *numbers, weights,
                start, rows.base or 0, start + part.shape[0], count, columns.base or 0,
                0 if diagonal is None else diagonal + start, count,
                D=D, HAS_DIAGONAL=diagonal is not None, ROWS=rows.base is not None, COLUMNS=columns.base is not None,
                LEARNT=isinstance(batch.temperature, Tensor), RUNNING=running, ROW_WEIGHTS=numbers[1].dim() > 0,
                INPUT_PRECISION=input_precision(), BLOCK_R=tile.rows, BLOCK_C=tile.columns, BLOCK_D=tile.depth,
                num_warps=tile.warps, num_stages=tile.stages,
            )  # fmt: skip
            if of_rows is not None:
                add_product(of_rows[start : start + chunk], weights, columns.z)
            if of_columns is not None:
                add_product(of_columns, weights.T, part)

    first, second = _Side(batch.h_all, 0), _Side(batch.h_pos_all, base_pos)
    own, own_pos = _Side(h, offset), _Side(h_pos, None if base_pos is None else base_pos + offset)
    if needs[0]:
        add(own, first, offset, dh, None)
    # On one rank with h_pos not contrasted, the weights for h_pos are the transpose of those for h.
    shared = batch.alone and not both
    if needs[0] or (shared and needs[1]):
        add(own, second, offset, dh if needs[0] else None, dh_pos if shared and needs[1] else None)
    if needs[1] and not shared:
        add(own_pos, first, offset, dh_pos, None)
    if needs[1] and both:
        add(own_pos, second, offset, dh_pos, None)
    if negatives is not None:
        queue = _Side(negatives, None)
        if needs[0] or needs[2]:
            add(own, queue, None, dh if needs[0] else None, dnegatives if needs[2] else None)
        if both and (needs[1] or needs[2]):
            add(own_pos, queue, None, dh_pos if needs[1] else None, dnegatives if needs[2] else None)
    return sums


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right in float32, whatever the operands."""
    if left.dtype == torch.float32:
        total.addmm_(left, right)
    elif left.is_cuda:
        torch.addmm(total, left, right, out_dtype=torch.float32, out=total)
    else:
        total.addmm_(left.float(), right.float())
