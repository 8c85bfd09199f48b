"""The kernels of InfoNCE's forward pass: sums over the negatives, then losses; docs/contrastive.md has the algorithm.

A program owns a tile of rows of h or h_pos and goes through the columns of all segments, or through one split of them.

Legend: K pairs, R contrasted rows (K, or 2K with BOTH), D embedding dimension; s2 logits in base 2.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .device_functions import (
    LN_2,
    LOG2_E,
    add_exponentials,
    column_tiles,
    exponent_scale,
    exponents,
    keeps,
    load_rows,
    log1p,
    log_of_splits,
    products,
)


@triton.jit
def _sum_over(
    total, top, z_RD, rows_matrix, rows, row_count, columns_matrix, count, diagonal, scale, split, splits,
    D: tl.constexpr, HAS_DIAGONAL: tl.constexpr, RUNNING: tl.constexpr, INPUT_PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Add the exponentials of one segment's columns to the rows' sums."""
    first, inner, special, specials, tail = column_tiles(count, diagonal, split, splits, HAS_DIAGONAL, BLOCK_R, BLOCK_C)
    for step in range(0, inner):
        tile = first + step
        tile = tl.where(tile < special, tile, tile + specials)
        columns = tile * BLOCK_C + tl.arange(0, BLOCK_C)
        z_CD = load_rows(columns_matrix, columns, count, 0, D, BLOCK_D, False)
        s = products(
            z_RD, rows_matrix, rows, row_count, z_CD, columns_matrix, columns, count, D, BLOCK_D, False, INPUT_PRECISION
        )
        total, top = add_exponentials(exponents(s, scale, RUNNING), total, top, RUNNING)
    for step in tl.range(0, specials + tail, num_stages=1):
        tile = tl.where(step < specials, special + step, count // BLOCK_C)
        columns = tile * BLOCK_C + tl.arange(0, BLOCK_C)
        z_CD = load_rows(columns_matrix, columns, count, 0, D, BLOCK_D, True)
        s = products(
            z_RD, rows_matrix, rows, row_count, z_CD, columns_matrix, columns, count, D, BLOCK_D, True, INPUT_PRECISION
        )
        keep = keeps(columns, count, diagonal, HAS_DIAGONAL, BLOCK_R)
        total, top = add_exponentials(tl.where(keep, exponents(s, scale, RUNNING), float("-inf")), total, top, RUNNING)
    return total, top


@triton.jit
def sum_negatives(
    h, h_pos, negatives, h_all, h_pos_all, temperature, totals, tops,
    pairs, pairs_all, further, offset, splits,
    D: tl.constexpr, BOTH: tl.constexpr, HAS_NEGATIVES: tl.constexpr, LEARNT: tl.constexpr, RUNNING: tl.constexpr,
    INPUT_PRECISION: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """sum 2^(s2 - top) over the negatives of a tile of contrasted rows in one split: `totals`, `tops` (splits, R)."""
    per_segment = tl.cdiv(pairs, BLOCK_R)
    segment = tl.program_id(0) // per_segment
    first = (tl.program_id(0) % per_segment) * BLOCK_R
    split = tl.program_id(1)
    rows_matrix = h
    if BOTH:
        if segment == 1:
            rows_matrix = h_pos
    rows = first + tl.arange(0, BLOCK_R)
    z_RD = load_rows(rows_matrix, rows, pairs, 0, D, BLOCK_D, True)
    scale = exponent_scale(temperature, LEARNT)
    total = tl.zeros((BLOCK_R,), tl.float32)
    top = tl.full((BLOCK_R,), float("-inf"), tl.float32)
    total, top = _sum_over(
        total, top, z_RD, rows_matrix, rows, pairs, h_all, pairs_all, offset + first, scale, split, splits,
        D, True, RUNNING, INPUT_PRECISION, BLOCK_R, BLOCK_C, BLOCK_D,
    )  # fmt: skip
    total, top = _sum_over(
        total, top, z_RD, rows_matrix, rows, pairs, h_pos_all, pairs_all, offset + first, scale, split, splits,
        D, True, RUNNING, INPUT_PRECISION, BLOCK_R, BLOCK_C, BLOCK_D,
    )  # fmt: skip
    if HAS_NEGATIVES:
        total, top = _sum_over(
            total, top, z_RD, rows_matrix, rows, pairs, negatives, further, 0, scale, split, splits,
            D, False, RUNNING, INPUT_PRECISION, BLOCK_R, BLOCK_C, BLOCK_D,
        )  # fmt: skip
    contrasted = pairs
    if BOTH:
        contrasted = 2 * pairs
    places = split * contrasted + segment * pairs + rows
    tl.store(totals + places, total, mask=rows < pairs)
    if RUNNING:
        tl.store(tops + places, top, mask=rows < pairs)


@triton.jit
def finish_losses(
    h, h_pos, totals, tops, temperature, losses, lse, lost,
    pairs, contrasted, splits, blocks, share,
    D: tl.constexpr, LEARNT: tl.constexpr, RUNNING: tl.constexpr, MEAN: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """From the splits' sums: the losses in nats (R,), or their mean (), log-sum-exp in base 2 and 1 - P(positive) (R,).

    With MEAN one program goes through all rows, in `blocks` steps, and `share` is 1 / R.
    """
    scale = exponent_scale(temperature, LEARNT)
    sum_of_losses = tl.zeros((BLOCK_R,), tl.float32)
    for block in range(0, blocks):
        rows = (tl.program_id(0) * blocks + block) * BLOCK_R + tl.arange(0, BLOCK_R)
        inside = rows < contrasted
        pair = rows % pairs
        negative = log_of_splits(totals, tops, rows, inside, contrasted, splits, RUNNING, BLOCK_R)
        # The loss and gradient of a row depend on this product, and 1 / tau amplifies its error; float64 is cheap here.
        dots = tl.zeros((BLOCK_R,), tl.float64)
        for start in range(0, D, BLOCK_D):
            left = load_rows(h, pair, pairs, start, D, BLOCK_D, True).to(tl.float64)
            right = load_rows(h_pos, pair, pairs, start, D, BLOCK_D, True).to(tl.float64)
            dots += tl.sum(left * right, 1)
        exact = exponents(dots, scale, RUNNING)
        positive = exact.to(tl.float32)
        difference = (negative.to(tl.float64) - exact).to(tl.float32)
        small = tl.exp2(-tl.abs(difference))
        rest = log1p(small)
        loss = tl.where(difference > 0.0, difference, 0.0) * LN_2 + rest
        loss += difference * 0.0  # NaN where an embedding is not finite
        tl.store(lse + rows, tl.where(difference > 0.0, negative, positive) + rest * LOG2_E, mask=inside)
        tl.store(lost + rows, tl.where(difference > 0.0, 1.0, small) / (1.0 + small), mask=inside)
        if MEAN:
            sum_of_losses += tl.where(inside, loss, 0.0)
        else:
            tl.store(losses + rows, loss, mask=inside)
    if MEAN:
        tl.store(losses, tl.sum(sum_of_losses, 0) * share)
