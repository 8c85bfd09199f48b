"""The kernels of InfoNCE's backward pass; docs/contrastive.md has the algorithm.

Segments: 0 is h, 1 is h_pos, 2 the further negatives. A program owns a tile of rows of one segment and goes through the
columns of all segments, or through one split of them.

Legend: K pairs, R contrasted rows (K, or 2K with BOTH), D embedding dimension; s2 logits in base 2, a = g 2^-lse.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .device_functions import (
    LOG2_E,
    STRONGEST_WEIGHT,
    WEAKEST,
    column_tiles,
    exponent_scale,
    exponents,
    finish_rows,
    keeps,
    load_rows,
)


@triton.jit
def _gradient_of(weight_all, rows, inside, ROW_WEIGHTS: tl.constexpr):
    """Upstream gradients of some contrasted rows; 1 for a mean, whose gradient is applied as a factor at the end."""
    if ROW_WEIGHTS:
        return tl.load(weight_all + rows, mask=inside, other=0.0)
    return tl.where(inside, 1.0, 0.0)


@triton.jit
def _weight_scale(
    weight_all, lost_all, strongest, contrasted_all, SEARCH: tl.constexpr, ROW_WEIGHTS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The scale that fits the weights, at most g_i lost_i + g_j lost_j, into float16. Reads all rows with SEARCH."""
    if SEARCH:
        most = 0.0
        most_g = 0.0
        for start in range(0, contrasted_all, BLOCK):
            rows = start + tl.arange(0, BLOCK)
            inside = rows < contrasted_all
            g = tl.abs(_gradient_of(weight_all, rows, inside, ROW_WEIGHTS))
            most_g = tl.maximum(most_g, tl.max(g, 0))
            most = tl.maximum(most, tl.max(g * tl.load(lost_all + rows, mask=inside, other=0.0), 0))
        most = tl.maximum(most, most_g * WEAKEST)
    else:
        most = tl.load(strongest)
    return (1.0 / tl.where(most > 0.0, most, 1.0)) * STRONGEST_WEIGHT


@triton.jit
def _weights(
    s2, lse_i, g_i, lse_all, weight_all, columns, base, count, weight_scale,
    CONTRASTED: tl.constexpr, RUNNING: tl.constexpr, ROW_WEIGHTS: tl.constexpr,
):  # fmt: skip
    """g_i 2^(s2 - lse_i) + g_j 2^(s2 - lse_j) over a tile, scaled; columns that are not CONTRASTED have g = 0."""
    if CONTRASTED:
        inside = columns < count
        lse_j = tl.load(lse_all + base + columns, mask=inside, other=float("inf"))
        g_j = _gradient_of(weight_all, base + columns, inside, ROW_WEIGHTS) * weight_scale
    if RUNNING:
        weights = tl.exp2(s2 - lse_i[:, None]) * (g_i * weight_scale)[:, None]
        if CONTRASTED:
            weights += tl.exp2(s2 - lse_j[None, :]) * g_j[None, :]
    else:
        a_i = tl.exp2(-lse_i) * g_i * weight_scale
        if CONTRASTED:
            a_j = tl.exp2(-lse_j) * g_j
            weights = tl.exp2(s2) * (a_i[:, None] + a_j[None, :])
        else:
            weights = tl.exp2(s2) * a_i[:, None]
    return weights


@triton.jit
def _pull_over(
    dz, z_RD, rows_matrix, rows, row_count, lse_i, g_i, columns_matrix, count, diagonal,
    lse_all, weight_all, base, scale, weight_scale, split, splits,
    D: tl.constexpr, HAS_DIAGONAL: tl.constexpr, CONTRASTED: tl.constexpr, RUNNING: tl.constexpr,
    ROW_WEIGHTS: tl.constexpr, INPUT_PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Add one segment's columns, weighted, to the rows' gradients (R, D)."""
    first, inner, special, specials, tail = column_tiles(count, diagonal, split, splits, HAS_DIAGONAL, BLOCK_R, BLOCK_C)
    for step in range(0, inner):
        tile = first + step
        tile = tl.where(tile < special, tile, tile + specials)
        columns = tile * BLOCK_C + tl.arange(0, BLOCK_C)
        z_CD = load_rows(columns_matrix, columns, count, 0, D, BLOCK_D, False)
        s2 = exponents(tl.dot(z_RD, tl.trans(z_CD), input_precision=INPUT_PRECISION), scale, RUNNING)
        weights = _weights(
            s2, lse_i, g_i, lse_all, weight_all, columns, base, count, weight_scale, CONTRASTED, RUNNING, ROW_WEIGHTS
        )
        dz = tl.dot(weights.to(z_CD.dtype), z_CD, dz, input_precision=INPUT_PRECISION)
    for step in tl.range(0, specials + tail, num_stages=1):
        tile = tl.where(step < specials, special + step, count // BLOCK_C)
        columns = tile * BLOCK_C + tl.arange(0, BLOCK_C)
        z_CD = load_rows(columns_matrix, columns, count, 0, D, BLOCK_D, True)
        s2 = exponents(tl.dot(z_RD, tl.trans(z_CD), input_precision=INPUT_PRECISION), scale, RUNNING)
        weights = _weights(
            s2, lse_i, g_i, lse_all, weight_all, columns, base, count, weight_scale, CONTRASTED, RUNNING, ROW_WEIGHTS
        )
        weights = tl.where(keeps(columns, count, diagonal, HAS_DIAGONAL, BLOCK_R), weights, 0.0)
        dz = tl.dot(weights.to(z_CD.dtype), z_CD, dz, input_precision=INPUT_PRECISION)
    return dz


@triton.jit
def _own_numbers(
    lse_all, weight_all, lost_all, segment, rows, pairs, pairs_all, offset,
    BOTH: tl.constexpr, ROW_WEIGHTS: tl.constexpr,
):  # fmt: skip
    """lse and g of a tile's rows, infinity and 0 if they are not contrasted; and g lost summed over their pairs."""
    inside = rows < pairs
    own = offset + rows
    g_first = _gradient_of(weight_all, own, inside, ROW_WEIGHTS)
    pull = g_first * tl.load(lost_all + own, mask=inside, other=0.0)
    if BOTH:
        g_second = _gradient_of(weight_all, pairs_all + own, inside, ROW_WEIGHTS)
        pull += g_second * tl.load(lost_all + pairs_all + own, mask=inside, other=0.0)
        contrasted = inside & (segment < 2)
        base = tl.where(segment == 1, pairs_all, 0)
        g = tl.where(segment == 1, g_second, g_first)
    else:
        contrasted = inside & (segment == 0)
        base = 0
        g = g_first
    lse = tl.load(lse_all + base + own, mask=contrasted, other=float("inf"))
    return lse, tl.where(contrasted, g, 0.0), pull


@triton.jit
def _upstream(weight_all, scale, temperature, LEARNT: tl.constexpr, ROW_WEIGHTS: tl.constexpr):
    """The factor of all gradients: 1 / tau, `scale`, and the upstream gradient of a mean."""
    factor = scale * exponent_scale(temperature, LEARNT) / LOG2_E
    if ROW_WEIGHTS:
        return factor
    return factor * tl.load(weight_all).to(tl.float32)


@triton.jit
def gradients(
    h, h_pos, negatives, h_all, h_pos_all, lse_all, weight_all, lost_all, strongest, temperature,
    dh, dh_pos, dnegatives, length0, length1, length2, radial, partial,
    pairs, pairs_all, further, offset, scale, tiles0, tiles1, rows_in_all, splits,
    D: tl.constexpr, BOTH: tl.constexpr, HAS_NEGATIVES: tl.constexpr, LEARNT: tl.constexpr, RUNNING: tl.constexpr,
    ROW_WEIGHTS: tl.constexpr, SEARCH: tl.constexpr, HAS_LENGTH: tl.constexpr, SPLIT: tl.constexpr,
    INPUT_PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """The final gradient of a tile of rows of any segment or, with SPLIT, the contribution of one split.

    `tiles0` and `tiles1` programs own tiles of h and h_pos, the others of the negatives. `radial` and `partial` hold
    the rows of all segments in order: (rows_in_all,) and (splits, rows_in_all, D).
    """
    program = tl.program_id(0)
    split = tl.program_id(1)
    segment = 0
    tile = program
    rows_matrix, out, lengths, count, before = h, dh, length0, pairs, 0
    if program >= tiles0:
        segment = 1
        tile = program - tiles0
        rows_matrix, out, lengths, before = h_pos, dh_pos, length1, pairs
    if HAS_NEGATIVES:
        if program >= tiles0 + tiles1:
            segment = 2
            tile = program - tiles0 - tiles1
            rows_matrix, out, lengths, count, before = negatives, dnegatives, length2, further, 2 * pairs
    first = tile * BLOCK_R
    rows = first + tl.arange(0, BLOCK_R)
    z_RD = load_rows(rows_matrix, rows, count, 0, D, BLOCK_D, True)
    # A further negative has no partner: give its rows an index beyond all pairs.
    pair_rows = tl.where(segment < 2, rows, pairs)
    lse_i, g_i, pull = _own_numbers(
        lse_all, weight_all, lost_all, segment, pair_rows, pairs, pairs_all, offset, BOTH, ROW_WEIGHTS
    )
    base_2 = exponent_scale(temperature, LEARNT)
    contrasted_all = pairs_all
    if BOTH:
        contrasted_all = 2 * pairs_all
    weight_scale = _weight_scale(weight_all, lost_all, strongest, contrasted_all, SEARCH, ROW_WEIGHTS, 1024)
    # The columns of h and h_pos are the rows of all ranks; those of a negative are its own rank's, without a diagonal.
    diagonal = offset + first
    seen, columns0, columns1, base = pairs_all, h_all, h_pos_all, 0
    if HAS_NEGATIVES:
        if segment == 2:
            diagonal = pairs + BLOCK_C
            seen, columns0, columns1, base = pairs, h, h_pos, offset
    dz = tl.zeros((BLOCK_R, BLOCK_D), tl.float32)
    dz = _pull_over(
        dz, z_RD, rows_matrix, rows, count, lse_i, g_i, columns0, seen, diagonal,
        lse_all, weight_all, base, base_2, weight_scale, split, splits,
        D, True, True, RUNNING, ROW_WEIGHTS, INPUT_PRECISION, BLOCK_R, BLOCK_C, BLOCK_D,
    )  # fmt: skip
    # If neither rows nor columns are contrasted, there is nothing to add.
    visited = seen
    if BOTH == 0:
        visited = tl.where(segment == 0, seen, 0)
    dz = _pull_over(
        dz, z_RD, rows_matrix, rows, count, lse_i, g_i, columns1, visited, diagonal,
        lse_all, weight_all, pairs_all + base, base_2, weight_scale, split, splits,
        D, True, BOTH, RUNNING, ROW_WEIGHTS, INPUT_PRECISION, BLOCK_R, BLOCK_C, BLOCK_D,
    )  # fmt: skip
    if HAS_NEGATIVES:
        if BOTH:
            visited = tl.where(segment < 2, further, 0)
        else:
            visited = tl.where(segment == 0, further, 0)
        dz = _pull_over(
            dz, z_RD, rows_matrix, rows, count, lse_i, g_i, negatives, visited, 0,
            lse_all, weight_all, 0, base_2, weight_scale, split, splits,
            D, False, False, RUNNING, ROW_WEIGHTS, INPUT_PRECISION, BLOCK_R, BLOCK_C, BLOCK_D,
        )  # fmt: skip
    d = tl.arange(0, BLOCK_D)
    inside = (rows < count)[:, None] & (d < D)[None, :]
    dz /= weight_scale
    if SPLIT:
        row = (split * rows_in_all + before + rows).to(tl.int64)
        tl.store(partial + row[:, None] * D + d[None, :], dz, mask=inside)
    else:
        partner_matrix = h_pos
        if segment == 1:
            partner_matrix = h
        partner = load_rows(partner_matrix, pair_rows, pairs, 0, D, BLOCK_D, True).to(tl.float32)
        length = tl.full((BLOCK_R,), 1.0, tl.float32)
        if HAS_LENGTH:
            length = tl.load(lengths + rows, mask=rows < count, other=1.0)
        factor = _upstream(weight_all, scale, temperature, LEARNT, ROW_WEIGHTS)
        dx, along = finish_rows(dz, z_RD.to(tl.float32), partner, pull, factor, length, True, HAS_LENGTH)
        tl.store(out + rows.to(tl.int64)[:, None] * D + d[None, :], dx.to(out.dtype.element_ty), mask=inside)
        tl.store(radial + before + rows, along, mask=rows < count)


@triton.jit
def finish_gradients(
    h, h_pos, negatives, lse_all, weight_all, lost_all, strongest, temperature,
    dh, dh_pos, dnegatives, length0, length1, length2, radial, partial,
    pairs, pairs_all, further, offset, scale, tiles0, tiles1, rows_in_all, splits,
    D: tl.constexpr, BOTH: tl.constexpr, HAS_NEGATIVES: tl.constexpr, LEARNT: tl.constexpr,
    ROW_WEIGHTS: tl.constexpr, SCALED: tl.constexpr, HAS_LENGTH: tl.constexpr, BLOCK_R: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    """The gradients from the splits' sums: `partial` (splits, rows_in_all, D), SCALED if the weights were scaled.

    BLOCK_D is at least D.
    """
    program = tl.program_id(0)
    segment = 0
    tile = program
    rows_matrix, out, lengths, count, before = h, dh, length0, pairs, 0
    if program >= tiles0:
        segment = 1
        tile = program - tiles0
        rows_matrix, out, lengths, before = h_pos, dh_pos, length1, pairs
    if HAS_NEGATIVES:
        if program >= tiles0 + tiles1:
            segment = 2
            tile = program - tiles0 - tiles1
            rows_matrix, out, lengths, count, before = negatives, dnegatives, length2, further, 2 * pairs
    rows = tile * BLOCK_R + tl.arange(0, BLOCK_R)
    d = tl.arange(0, BLOCK_D)
    inside = (rows < count)[:, None] & (d < D)[None, :]
    dz = tl.zeros((BLOCK_R, BLOCK_D), tl.float32)
    for split in range(0, splits):
        row = (split * rows_in_all + before + rows).to(tl.int64)
        dz += tl.load(partial + row[:, None] * D + d[None, :], mask=inside, other=0.0)
    pair_rows = tl.where(segment < 2, rows, pairs)
    _, _, pull = _own_numbers(
        lse_all, weight_all, lost_all, segment, pair_rows, pairs, pairs_all, offset, BOTH, ROW_WEIGHTS
    )
    partner_matrix = h_pos
    if segment == 1:
        partner_matrix = h
    partner = load_rows(partner_matrix, pair_rows, pairs, 0, D, BLOCK_D, True).to(tl.float32)
    z = load_rows(rows_matrix, rows, count, 0, D, BLOCK_D, True).to(tl.float32)
    length = tl.full((BLOCK_R,), 1.0, tl.float32)
    if HAS_LENGTH:
        length = tl.load(lengths + rows, mask=rows < count, other=1.0)
    factor = _upstream(weight_all, scale, temperature, LEARNT, ROW_WEIGHTS)
    if SCALED:
        dz /= _weight_scale(weight_all, lost_all, strongest, pairs_all, False, ROW_WEIGHTS, 1024)
    dx, along = finish_rows(dz, z, partner, pull, factor, length, True, HAS_LENGTH)
    tl.store(out + rows.to(tl.int64)[:, None] * D + d[None, :], dx.to(out.dtype.element_ty), mask=inside)
    tl.store(radial + before + rows, along, mask=rows < count)


@triton.jit
def write_weights(
    rows_matrix, columns_matrix, lse_all, weight_all, lost_all, strongest, temperature, weights_out,
    start, row_base, row_count, column_count, column_base, diagonal, stride,
    D: tl.constexpr, HAS_DIAGONAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, LEARNT: tl.constexpr,
    RUNNING: tl.constexpr, ROW_WEIGHTS: tl.constexpr, INPUT_PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One tile of weights of a chunk of rows, for wide embeddings, whose gradients are library matrix products.

    Rows begin at `start` of their segment; `row_base` and `column_base` are the segments' offsets in `lse_all`, and
    ROWS and COLUMNS say whether they are contrasted. Row `start` + k has column `diagonal` + k on the diagonal. The
    tile is written to `weights_out` (chunk, stride).
    """
    first = tl.program_id(0) * BLOCK_R
    rows = start + first + tl.arange(0, BLOCK_R)
    columns = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row_inside = rows < row_count
    s = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
    for step in range(0, D, BLOCK_D):
        left = load_rows(rows_matrix, rows, row_count, step, D, BLOCK_D, True)
        right = load_rows(columns_matrix, columns, column_count, step, D, BLOCK_D, True)
        s = tl.dot(left, tl.trans(right), s, input_precision=INPUT_PRECISION)
    if ROWS:
        lse_i = tl.load(lse_all + row_base + rows, mask=row_inside, other=float("inf"))
        g_i = _gradient_of(weight_all, row_base + rows, row_inside, ROW_WEIGHTS)
    else:
        lse_i = tl.full((BLOCK_R,), float("inf"), tl.float32)
        g_i = tl.zeros((BLOCK_R,), tl.float32)
    weight_scale = _weight_scale(weight_all, lost_all, strongest, 0, False, ROW_WEIGHTS, 1024)
    weights = _weights(
        exponents(s, exponent_scale(temperature, LEARNT), RUNNING), lse_i, g_i, lse_all, weight_all, columns,
        column_base, column_count, weight_scale, COLUMNS, RUNNING, ROW_WEIGHTS,
    )  # fmt: skip
    keep = keeps(columns, column_count, diagonal + first, HAS_DIAGONAL, BLOCK_R)
    weights = tl.where(keep, weights, 0.0)
    local = (first + tl.arange(0, BLOCK_R)).to(tl.int64)
    inside = row_inside[:, None] & (columns < column_count)[None, :]
    tl.store(
        weights_out + local[:, None] * stride + columns[None, :], weights.to(weights_out.dtype.element_ty), mask=inside
    )
