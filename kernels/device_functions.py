"""Device functions that the kernels share.

Logits are in base 2: s2 = z_i . z_j log2(e) / tau, so that an exponential is one exp2.

Legend: R rows of a tile (BLOCK_R), C its columns (BLOCK_C), D embedding dimension, in steps of BLOCK_D.
"""

from __future__ import annotations

import triton
import triton.language as tl

SHORTEST: tl.constexpr = tl.constexpr(1e-12)  # lower bound of the divisor of a row
LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)
STRONGEST_WEIGHT: tl.constexpr = tl.constexpr(16384.0)  # float16 reaches 65504, and a weight is a sum of two
LN_2: tl.constexpr = tl.constexpr(0.6931471805599453)
WEAKEST: tl.constexpr = tl.constexpr(2.0**-100)  # weights are scaled by at least this share of the largest gradient


@triton.jit
def log1p(y):
    """log(1 + y) for y in [0, 1], accurate for small y: 2 atanh(y / (2 + y)) as a series."""
    t = y / (2.0 + y)
    u = t * t
    series = 1.0 / 15.0
    series = series * u + 1.0 / 13.0
    series = series * u + 1.0 / 11.0
    series = series * u + 1.0 / 9.0
    series = series * u + 1.0 / 7.0
    series = series * u + 1.0 / 5.0
    series = series * u + 1.0 / 3.0
    series = series * u + 1.0
    return 2.0 * t * series


@triton.jit
def exponent_scale(temperature, LEARNT: tl.constexpr):
    """log2(e) / tau of a number or, with LEARNT, of the number at a pointer."""
    if LEARNT:
        tau = tl.load(temperature).to(tl.float32)
    else:
        tau = temperature
    return LOG2_E / tau


@triton.jit
def exponents(s, scale, RUNNING: tl.constexpr):
    """Base-2 exponents of products s; with a running maximum relative to s = 1, which is more accurate."""
    if RUNNING:
        return (s - 1.0) * scale
    return s * scale


@triton.jit
def load_rows(matrix, rows, count, start, D: tl.constexpr, BLOCK_D: tl.constexpr, MASKED: tl.constexpr):
    """Columns `start` to `start + BLOCK_D` of some rows of a (count, D) matrix; 0 outside it. (rows, BLOCK_D)"""
    d = start + tl.arange(0, BLOCK_D)
    places = matrix + rows.to(tl.int64)[:, None] * D + d[None, :]
    if MASKED:
        return tl.load(places, mask=(rows < count)[:, None] & (d < D)[None, :], other=0.0)
    if D % BLOCK_D != 0:
        return tl.load(places, mask=(d < D)[None, :], other=0.0)
    return tl.load(places)


@triton.jit
def products(
    z_RD,
    rows_matrix,
    rows,
    row_count,
    z_CD,
    columns_matrix,
    columns,
    column_count,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    MASKED: tl.constexpr,
    INPUT_PRECISION: tl.constexpr,
):
    """z_i . z_j over a tile (R, C), float32; from the loaded rows if a tile holds all of D, else read in steps."""
    if D <= BLOCK_D:
        return tl.dot(z_RD, tl.trans(z_CD), input_precision=INPUT_PRECISION)
    s = tl.zeros((rows.shape[0], columns.shape[0]), tl.float32)
    for start in range(0, D, BLOCK_D):
        left = load_rows(rows_matrix, rows, row_count, start, D, BLOCK_D, True)
        right = load_rows(columns_matrix, columns, column_count, start, D, BLOCK_D, MASKED)
        s = tl.dot(left, tl.trans(right), s, input_precision=INPUT_PRECISION)
    return s


@triton.jit
def column_tiles(
    count, diagonal, split, splits, HAS_DIAGONAL: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr
):
    """The tiles of `count` columns that belong to a split, with those that need a mask listed separately.

    Returns:
        first, inner, special, specials, tail: `inner` whole tiles begin at `first` and skip the `specials` tiles from
        `special`, which hold the diagonal (column `diagonal` + k for row k of the tile); `tail` is 1 if the last,
        partial tile belongs to this split and is not among the specials.
    """
    tiles = tl.cdiv(count, BLOCK_C)
    first = (tiles * split) // splits
    last = (tiles * (split + 1)) // splits
    whole = count // BLOCK_C
    if HAS_DIAGONAL:
        special = tl.minimum(tl.maximum(diagonal // BLOCK_C, first), last)
        beyond = tl.minimum(tl.maximum(tl.cdiv(diagonal + BLOCK_R, BLOCK_C), first), last)
    else:
        special = first
        beyond = first
    end = tl.minimum(last, whole)
    inner = tl.maximum(end - first - (tl.minimum(beyond, end) - tl.minimum(special, end)), 0)
    partial = (last > whole) & (last > first)
    among = (special <= whole) & (whole < beyond)
    tail = tl.where(partial & (among == 0), 1, 0)
    return first, inner, special, beyond - special, tail


@triton.jit
def keeps(columns, count, diagonal, HAS_DIAGONAL: tl.constexpr, BLOCK_R: tl.constexpr):
    """Mask over a tile (R, C): columns that exist and are neither the row itself nor its positive."""
    keep = (columns < count)[None, :]
    if HAS_DIAGONAL:
        own = diagonal + tl.arange(0, BLOCK_R)
        keep = keep & (columns[None, :] != own[:, None])
    return keep


@triton.jit
def add_exponentials(s2, total, top, RUNNING: tl.constexpr):
    """Add sum_j 2^s2 of a tile to each row's `total`, which is in units of 2^top with a running maximum. (R,), (R,)"""
    if RUNNING:
        new = tl.maximum(top, tl.max(s2, 1))
        # If a row has had no column so far, -inf - -inf would be NaN.
        finite = tl.where(new == float("-inf"), 0.0, new)
        total = total * tl.exp2(top - finite) + tl.sum(tl.exp2(s2 - finite[:, None]), 1)
        top = new
    else:
        total += tl.sum(tl.exp2(s2), 1)
    return total, top


@triton.jit
def log_of_splits(totals, tops, rows, inside, count, splits, RUNNING: tl.constexpr, BLOCK_R: tl.constexpr):
    """log2 of the sum of the splits' sums (splits, count), -inf if the sum is 0. (R,)"""
    total = tl.zeros((BLOCK_R,), tl.float32)
    top = tl.full((BLOCK_R,), float("-inf"), tl.float32)
    for split in range(0, splits):
        part = tl.load(totals + split * count + rows, mask=inside, other=1.0)
        if RUNNING:
            its_top = tl.load(tops + split * count + rows, mask=inside, other=0.0)
            new = tl.maximum(top, its_top)
            finite = tl.where(new == float("-inf"), 0.0, new)
            total = total * tl.exp2(top - finite) + part * tl.exp2(its_top - finite)
            top = new
        else:
            total += part
    none = total == 0.0
    result = tl.log2(tl.where(none, 1.0, total))
    if RUNNING:
        result += top
    return tl.where(none, float("-inf"), result)


@triton.jit
def finish_rows(dz, z, partner, pull, factor, length, HAS_PARTNER: tl.constexpr, HAS_LENGTH: tl.constexpr):
    """The gradient of x, where z = x / max(|x|, SHORTEST), from sums of weighted rows; and <dz, z>. (R, D), (R,)"""
    if HAS_PARTNER:
        dz -= pull[:, None] * partner
    dz *= factor
    radial = tl.sum(dz * z, 1)
    if HAS_LENGTH:
        along = tl.where(length > SHORTEST, radial, 0.0)
        dz = (dz - along[:, None] * z) / length[:, None]
    return dz, radial
