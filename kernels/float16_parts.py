"""float32 products on the tensor cores: operands as sums of two float16 numbers, scaled to fit.

    x 2^s = big + small,   a b = (big_a big_b + big_a small_b + small_a big_b) 2^-(s + t)

A float16 number has 11 bits, so two have the 24 bits of float32, and what the three products leave out is as small as
float32's own rounding. Scaling by a power of two is exact. The largest number of a row, or of a matrix, is brought to
between 2^14 and 2^15; numbers down to 2^-15 of it keep all bits, and smaller ones have an error of 2^-39 of it. TF32,
of three products likewise, runs at half the speed and needs twice the memory. One product alone rounds operands to 11
bits, as TF32 does.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def power_of_two(largest):
    """The scale that brings a float32 number >= 0 to between 2^14 and 2^15, and its inverse; both always finite."""
    exponent = (largest.to(tl.int32, bitcast=True) >> 23) & 255
    exponent = tl.maximum(exponent, 15)
    scale = ((268 - exponent) << 23).to(tl.float32, bitcast=True)
    inverse = ((exponent - 14) << 23).to(tl.float32, bitcast=True)
    return scale, inverse


@triton.jit
def parts(x, scale):
    """big and small with big + small = x scale; both NaN where x is, and small where x is infinite."""
    scaled = x * scale
    big = scaled.to(tl.float16)
    return big, (scaled - big.to(tl.float32)).to(tl.float16)


@triton.jit
def product(a_big, a_small, b_big, b_small, PRODUCTS: tl.constexpr):
    """The product of two matrices in parts, by three products or one; float32."""
    if PRODUCTS == 1:
        return tl.dot(a_big, b_big)
    # Small terms first: in this order their sum loses nothing to the large ones.
    total = tl.dot(a_small, b_big)
    total = tl.dot(a_big, b_small, total)
    return tl.dot(a_big, b_big, total)
