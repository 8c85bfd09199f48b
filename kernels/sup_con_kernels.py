"""The kernels of SupCon "out"; docs/contrastive.md has the algorithm.

A program owns a tile of rows and goes through all columns, or through one split of them.

Legend: N rows of this rank, D embedding dimension; s2 logits in base 2; `targets` are g / (number of positives), or
g (1 - P(positive)) if there is one.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .device_functions import (
    LN_2,
    LOG2_E,
    STRONGEST_WEIGHT,
    add_exponentials,
    exponent_scale,
    exponents,
    finish_rows,
    load_rows,
    log1p,
    log_of_splits,
    products,
)


@triton.jit
def sum_by_label(
    z, labels, z_all, labels_all, temperature, negatives, negative_tops, positives, positive_tops, logits, counts,
    count, count_all, offset, splits,
    D: tl.constexpr, LEARNT: tl.constexpr, RUNNING: tl.constexpr, INPUT_PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Per split and row (splits, N): sums of 2^s2 of other labels and of its own, of these also sum of s2 and count."""
    rows = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    split = tl.program_id(1)
    inside = rows < count
    label_i = tl.load(labels + rows, mask=inside, other=0)
    z_RD = load_rows(z, rows, count, 0, D, BLOCK_D, True)
    scale = exponent_scale(temperature, LEARNT)
    negative = tl.zeros((BLOCK_R,), tl.float32)
    positive = tl.zeros((BLOCK_R,), tl.float32)
    negative_top = tl.full((BLOCK_R,), float("-inf"), tl.float32)
    positive_top = tl.full((BLOCK_R,), float("-inf"), tl.float32)
    logit = tl.zeros((BLOCK_R,), tl.float32)
    number = tl.zeros((BLOCK_R,), tl.float32)
    tiles = tl.cdiv(count_all, BLOCK_C)
    for tile in range((tiles * split) // splits, (tiles * (split + 1)) // splits):
        columns = tile * BLOCK_C + tl.arange(0, BLOCK_C)
        z_CD = load_rows(z_all, columns, count_all, 0, D, BLOCK_D, True)
        s = products(z_RD, z, rows, count, z_CD, z_all, columns, count_all, D, BLOCK_D, True, INPUT_PRECISION)
        s2 = exponents(s, scale, RUNNING)
        label_j = tl.load(labels_all + columns, mask=columns < count_all, other=0)
        keep = (columns < count_all)[None, :] & (columns[None, :] != (offset + rows)[:, None])
        same = label_i[:, None] == label_j[None, :]
        negative, negative_top = add_exponentials(
            tl.where(keep & (same == 0), s2, float("-inf")), negative, negative_top, RUNNING
        )
        positive, positive_top = add_exponentials(
            tl.where(keep & same, s2, float("-inf")), positive, positive_top, RUNNING
        )
        logit += tl.sum(tl.where(keep & same, s2, 0.0), 1)
        number += tl.sum(tl.where(keep & same, 1.0, 0.0), 1)
    places = split * count + rows
    tl.store(negatives + places, negative, mask=inside)
    tl.store(positives + places, positive, mask=inside)
    tl.store(logits + places, logit, mask=inside)
    tl.store(counts + places, number, mask=inside)
    if RUNNING:
        tl.store(negative_tops + places, negative_top, mask=inside)
        tl.store(positive_tops + places, positive_top, mask=inside)


@triton.jit
def finish_losses(
    negatives, negative_tops, positives, positive_tops, logits, counts, losses, lse, lost, count_of, count, splits,
    RUNNING: tl.constexpr, BLOCK_R: tl.constexpr,
):  # fmt: skip
    """Per row (N,): the loss in nats, log-sum-exp in base 2, 1 - P(positives), and the number of positives."""
    rows = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    inside = rows < count
    n = log_of_splits(negatives, negative_tops, rows, inside, count, splits, RUNNING, BLOCK_R)
    p = log_of_splits(positives, positive_tops, rows, inside, count, splits, RUNNING, BLOCK_R)
    logit = tl.zeros((BLOCK_R,), tl.float32)
    number = tl.zeros((BLOCK_R,), tl.float32)
    for split in range(0, splits):
        logit += tl.load(logits + split * count + rows, mask=inside, other=0.0)
        number += tl.load(counts + split * count + rows, mask=inside, other=0.0)
    difference = n - p
    small = tl.exp2(-tl.abs(difference))
    rest = log1p(small)
    against = tl.where(difference > 0.0, difference, 0.0) * LN_2 + rest
    finite = (n < float("inf")) & (p < float("inf"))  # minus infinity is a sum over no rows
    against = tl.where(finite, against, float("nan"))
    among = tl.where(number > 1.5, (p - logit / tl.maximum(number, 1.0)) * LN_2, 0.0)
    some = number > 0.5
    tl.store(losses + rows, tl.where(some, against + among, 0.0), mask=inside)
    tl.store(lse + rows, tl.where(some, tl.where(difference > 0.0, n, p) + rest * LOG2_E, n), mask=inside)
    tl.store(lost + rows, tl.where(difference > 0.0, 1.0, small) / (1.0 + small), mask=inside)
    tl.store(count_of + rows, number.to(tl.int64), mask=inside)


@triton.jit
def _weights(
    s2, rows, inside, columns, label_i, lse_i, g_i, target_i, lone_i,
    labels_all, lse_all, g_all, targets_all, count_all, offset, weight_scale, RUNNING: tl.constexpr,
):  # fmt: skip
    """V_ij + V_ji over a tile, scaled; 0 for a row with itself, and for columns that do not exist."""
    there = columns < count_all
    label_j = tl.load(labels_all + columns, mask=there, other=0)
    lse_j = tl.load(lse_all + columns, mask=there, other=float("inf"))
    g_j = tl.load(g_all + columns, mask=there, other=0.0)
    target_j = tl.load(targets_all + columns, mask=there, other=0.0)
    if RUNNING:
        shares = tl.exp2(s2 - lse_i[:, None]) * g_i[:, None] + tl.exp2(s2 - lse_j[None, :]) * g_j[None, :]
    else:
        shares = tl.exp2(s2) * ((tl.exp2(-lse_i) * g_i)[:, None] + (tl.exp2(-lse_j) * g_j)[None, :])
    keep = there[None, :] & inside[:, None] & (columns[None, :] != (offset + rows)[:, None])
    same = label_i[:, None] == label_j[None, :]
    # For a single positive, e^{s - lse} - 1 is -(1 - P), which the target holds without cancellation.
    shares = tl.where(same & lone_i[:, None], 0.0, shares)
    shares = tl.where(same, shares - (target_i[:, None] + target_j[None, :]), shares)
    return tl.where(keep, shares * weight_scale, 0.0)


@triton.jit
def _row_numbers(rows, inside, labels, lse_all, g_all, targets_all, counts_all, strongest, offset):
    """Label, lse, g, target of a tile's rows, whether they have a single positive, and the scale of the weights."""
    label = tl.load(labels + rows, mask=inside, other=0)
    lse = tl.load(lse_all + offset + rows, mask=inside, other=float("inf"))
    g = tl.load(g_all + offset + rows, mask=inside, other=0.0)
    target = tl.load(targets_all + offset + rows, mask=inside, other=0.0)
    lone = tl.load(counts_all + offset + rows, mask=inside, other=0) == 1
    return label, lse, g, target, lone, (1.0 / tl.load(strongest)) * STRONGEST_WEIGHT


@triton.jit
def gradients(
    z, labels, z_all, labels_all, lse_all, g_all, targets_all, counts_all, strongest, temperature, partial,
    count, count_all, offset, splits,
    D: tl.constexpr, LEARNT: tl.constexpr, RUNNING: tl.constexpr, INPUT_PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """sum_j (V_ij + V_ji) z_j over the columns of a split: `partial` (splits, N, D)."""
    rows = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    split = tl.program_id(1)
    inside = rows < count
    label_i, lse_i, g_i, target_i, lone_i, weight_scale = _row_numbers(
        rows, inside, labels, lse_all, g_all, targets_all, counts_all, strongest, offset
    )
    z_RD = load_rows(z, rows, count, 0, D, BLOCK_D, True)
    scale = exponent_scale(temperature, LEARNT)
    dz = tl.zeros((BLOCK_R, BLOCK_D), tl.float32)
    tiles = tl.cdiv(count_all, BLOCK_C)
    for tile in range((tiles * split) // splits, (tiles * (split + 1)) // splits):
        columns = tile * BLOCK_C + tl.arange(0, BLOCK_C)
        z_CD = load_rows(z_all, columns, count_all, 0, D, BLOCK_D, True)
        s2 = exponents(tl.dot(z_RD, tl.trans(z_CD), input_precision=INPUT_PRECISION), scale, RUNNING)
        weights = _weights(
            s2, rows, inside, columns, label_i, lse_i, g_i, target_i, lone_i,
            labels_all, lse_all, g_all, targets_all, count_all, offset, weight_scale, RUNNING,
        )  # fmt: skip
        dz = tl.dot(weights.to(z_CD.dtype), z_CD, dz, input_precision=INPUT_PRECISION)
    d = tl.arange(0, BLOCK_D)
    places = (split * count + rows).to(tl.int64)[:, None] * D + d[None, :]
    tl.store(partial + places, dz / weight_scale, mask=inside[:, None] & (d < D)[None, :])


@triton.jit
def write_weights(
    z, labels, z_all, labels_all, lse_all, g_all, targets_all, counts_all, strongest, temperature, weights_out,
    start, count, count_all, offset,
    D: tl.constexpr, LEARNT: tl.constexpr, RUNNING: tl.constexpr, INPUT_PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """A tile of scaled weights of the rows from `start` to `count`, for wide embeddings: (count - start, count_all)."""
    local = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    rows = start + local
    columns = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = rows < count
    label_i, lse_i, g_i, target_i, lone_i, weight_scale = _row_numbers(
        rows, inside, labels, lse_all, g_all, targets_all, counts_all, strongest, offset
    )
    s = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
    for step in range(0, D, BLOCK_D):
        left = load_rows(z, rows, count, step, D, BLOCK_D, True)
        right = load_rows(z_all, columns, count_all, step, D, BLOCK_D, True)
        s = tl.dot(left, tl.trans(right), s, input_precision=INPUT_PRECISION)
    weights = _weights(
        exponents(s, exponent_scale(temperature, LEARNT), RUNNING), rows, inside, columns,
        label_i, lse_i, g_i, target_i, lone_i,
        labels_all, lse_all, g_all, targets_all, count_all, offset, weight_scale, RUNNING,
    )  # fmt: skip
    places = local.to(tl.int64)[:, None] * count_all + columns[None, :]
    tl.store(
        weights_out + places,
        weights.to(weights_out.dtype.element_ty),
        mask=inside[:, None] & (columns < count_all)[None, :],
    )


@triton.jit
def finish_gradients(
    z, partial, temperature, strongest, out, lengths, radial, count, splits,
    D: tl.constexpr, LEARNT: tl.constexpr, SCALED: tl.constexpr, HAS_LENGTH: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """The gradients from the splits' sums, SCALED if the weights were scaled. BLOCK_D is at least D."""
    rows = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    d = tl.arange(0, BLOCK_D)
    inside = (rows < count)[:, None] & (d < D)[None, :]
    dz = tl.zeros((BLOCK_R, BLOCK_D), tl.float32)
    for split in range(0, splits):
        row = (split * count + rows).to(tl.int64)
        dz += tl.load(partial + row[:, None] * D + d[None, :], mask=inside, other=0.0)
    if SCALED:
        dz *= tl.load(strongest) / STRONGEST_WEIGHT
    own = load_rows(z, rows, count, 0, D, BLOCK_D, True).to(tl.float32)
    length = tl.full((BLOCK_R,), 1.0, tl.float32)
    if HAS_LENGTH:
        length = tl.load(lengths + rows, mask=rows < count, other=1.0)
    factor = exponent_scale(temperature, LEARNT) / LOG2_E
    dx, along = finish_rows(dz, own, own, length, factor, length, False, HAS_LENGTH)
    tl.store(out + rows.to(tl.int64)[:, None] * D + d[None, :], dx.to(out.dtype.element_ty), mask=inside)
    tl.store(radial + rows, along, mask=rows < count)
