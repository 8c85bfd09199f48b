"""The fused navigator, z' = z + W2 relu(W1 z + b1) + b2 with distances and statistics, on the tensor cores.

A program keeps both layers on chip and works through tiles of rows: it reads z, computes both products, and writes z'
and d. Where the layers do not fit, it reads them from the cache for each tile, BLOCK_H hidden units at a time.

Legend: K rows; d coordinates (D, BLOCK_D); H hidden units (H, BLOCK_H); R rows of a tile; m = z' - z;
d_k = ||m_k|| / sqrt(d).
"""

from __future__ import annotations

import triton
import triton.language as tl

from .float16_parts import parts, power_of_two, product


@triton.jit
def _layer(weights, outputs, inputs, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr):
    """Some rows and columns of a layer (OUTPUTS, INPUTS) in parts, transposed, and the inverse of their scale."""
    inside = (outputs < OUTPUTS)[:, None] & (inputs < INPUTS)[None, :]
    w = tl.load(weights + outputs[:, None] * INPUTS + inputs[None, :], mask=inside, other=0.0).to(tl.float32)
    scale, inverse = power_of_two(tl.max(tl.max(tl.abs(w), 1), 0))
    big, small = parts(w, scale)
    return tl.trans(big), tl.trans(small), inverse


@triton.jit
def navigate_rows(
    z, w1, b1, w2, b2, z_pos, distances, hidden, partial, delta, rows, kept, tiles,
    D: tl.constexpr, H: tl.constexpr, PRODUCTS: tl.constexpr, KEEP: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """z' (K, d), d (K,), with KEEP the first `kept` rows of h (kept, H), and this program's sums, `partial` (., 6)."""
    i = tl.arange(0, BLOCK_R)
    k = tl.arange(0, BLOCK_D)
    unit = tl.arange(0, BLOCK_H)
    ON_CHIP: tl.constexpr = BLOCK_H >= H
    if ON_CHIP:
        w1_big, w1_small, inverse1 = _layer(w1, unit, k, H, D)
        w2_big, w2_small, inverse2 = _layer(w2, k, unit, D, H)
    # Sums of float64, one per row of a tile: statistics are differences of them.
    beyond = tl.zeros((BLOCK_R,), tl.float32)
    largest = tl.zeros((BLOCK_R,), tl.float32)
    d_sum = tl.zeros((BLOCK_R,), tl.float64)
    d_squares = tl.zeros((BLOCK_R,), tl.float64)
    m_sum = tl.zeros((BLOCK_R,), tl.float64)
    m_squares = tl.zeros((BLOCK_R,), tl.float64)
    # Addresses that are computed before the loop take so many registers that they spill.
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0), disable_licm=True):
        first = (tl.zeros((), tl.int64) + tile) * BLOCK_R
        there = i < rows - first
        places = i[:, None] * D + k[None, :]
        inside = there[:, None] & (k < D)[None, :]
        x = tl.load(z + first * D + places, mask=inside, other=0.0).to(tl.float32)
        scale, inverse = power_of_two(tl.max(tl.abs(x), 1))
        x_big, x_small = parts(x, scale[:, None])
        m = tl.zeros((BLOCK_R, BLOCK_D), tl.float32)
        for start in range(0, H, BLOCK_H):
            units = start + unit
            if not ON_CHIP:
                w1_big, w1_small, inverse1 = _layer(w1, units, k, H, D)
                w2_big, w2_small, inverse2 = _layer(w2, k, units, D, H)
            h = product(x_big, x_small, w1_big, w1_small, PRODUCTS) * (inverse * inverse1)[:, None]
            h += tl.load(b1 + units, mask=units < H, other=0.0).to(tl.float32)[None, :]
            h = tl.maximum(h, 0.0, propagate_nan=tl.PropagateNan.ALL)
            if KEEP:
                to = hidden + first * H + i[:, None] * H + units[None, :]
                tl.store(to, h, mask=(i < kept - first)[:, None] & (units < H)[None, :])
            h_scale, h_inverse = power_of_two(tl.max(h, 1))
            h_big, h_small = parts(h, h_scale[:, None])
            m += product(h_big, h_small, w2_big, w2_small, PRODUCTS) * (h_inverse * inverse2)[:, None]
        m += tl.load(b2 + k, mask=k < D, other=0.0).to(tl.float32)[None, :]
        # Squares around a row's mean, so that nothing cancels if all coordinates move alike.
        total = tl.sum(m, 1)
        mean = total / D
        away = tl.where((k < D)[None, :], m - mean[:, None], 0.0)
        squares = tl.sum(away * away, 1)
        distance = tl.sqrt((squares + total * mean) / D)
        tl.store(distances + first + i, distance, mask=there)
        x = tl.load(z + first * D + places, mask=inside, other=0.0).to(tl.float32)
        tl.store(z_pos + first * D + places, (x + m).to(z_pos.dtype.element_ty), mask=inside)
        distance = tl.where(there, distance, 0.0)
        beyond += tl.where(distance > delta, 1.0, 0.0)
        largest = tl.maximum(largest, distance)
        wide = distance.to(tl.float64)
        d_sum += wide
        d_squares += wide * wide
        wide = tl.where(there, total, 0.0).to(tl.float64)
        m_sum += wide
        m_squares += tl.where(there, squares, 0.0).to(tl.float64) + wide * wide / D
    to = partial + tl.program_id(0) * 6
    tl.store(to, tl.sum(beyond.to(tl.float64), 0))
    tl.store(to + 1, tl.sum(d_sum, 0))
    tl.store(to + 2, tl.sum(d_squares, 0))
    tl.store(to + 3, tl.max(largest, 0).to(tl.float64))
    tl.store(to + 4, tl.sum(m_sum, 0))
    tl.store(to + 5, tl.sum(m_squares, 0))


@triton.jit
def _sum(partial, which, programs, BLOCK: tl.constexpr):
    total = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, programs, BLOCK):
        program = start + tl.arange(0, BLOCK)
        total += tl.load(partial + program * 6 + which, mask=program < programs, other=0.0)
    return tl.sum(total, 0)


@triton.jit
def _deviation(total, squares, count):
    """The standard deviation with n - 1, from a sum and a sum of squares; NaN for fewer than two numbers."""
    several = count > 1.5
    variance = (squares - total * total / tl.maximum(count, 1.0)) / tl.where(several, count - 1.0, 1.0)
    variance = tl.where(variance < 0.0, 0.0, variance)  # keeps NaN
    return tl.where(several, tl.sqrt(variance), float("nan"))


@triton.jit
def finish_statistics(partial, stats, rows, programs, D: tl.constexpr, BLOCK: tl.constexpr):
    """From the programs' sums, the six statistics of copgen/latents/operations/shift.py: `stats` (6,), float64."""
    count = (rows + tl.zeros((), tl.int64)).to(tl.float64)
    some = count > 0.5
    n = tl.maximum(count, 1.0)
    d_sum = _sum(partial, 1, programs, BLOCK)
    m_sum = _sum(partial, 4, programs, BLOCK)
    largest = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, programs, BLOCK):
        program = start + tl.arange(0, BLOCK)
        largest = tl.maximum(largest, tl.load(partial + program * 6 + 3, mask=program < programs, other=0.0))
    most = tl.where(d_sum == d_sum, tl.max(largest, 0), float("nan"))  # NaN propagates
    tl.store(stats, _sum(partial, 0, programs, BLOCK))
    tl.store(stats + 1, tl.where(some, d_sum / n, float("nan")))
    tl.store(stats + 2, _deviation(d_sum, _sum(partial, 2, programs, BLOCK), count))
    tl.store(stats + 3, tl.where(some, most, float("nan")))
    tl.store(stats + 4, tl.where(some, m_sum / (n * D), float("nan")))
    tl.store(stats + 5, _deviation(m_sum, _sum(partial, 5, programs, BLOCK), count * D))
