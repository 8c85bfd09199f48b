"""Products of float32 numbers in parts, with sums that are truncated as on the matrix units; NumPy alone.

The interpreter rounds the parts, but adds in float32 with rounding to nearest.
"""

from __future__ import annotations

import numpy as np
import pytest

DEPTH = 16  # products that a matrix instruction adds at a time


@pytest.fixture(autouse=True)
def on_kernels() -> None:
    """None is launched."""


def truncated(x: np.ndarray) -> np.ndarray:
    """float64 numbers cut to the 24 bits of float32, towards zero."""
    fraction, exponent = np.frexp(x)
    cut: np.ndarray = np.ldexp(np.trunc(np.ldexp(fraction, 24)), exponent - 24)
    return cut


def accumulated(total: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """total + a b, each sum of `DEPTH` products truncated."""
    for start in range(0, a.shape[1], DEPTH):
        part = slice(start, start + DEPTH)
        total = truncated(total + a[:, part].astype(np.float64) @ b[part].astype(np.float64))
    return total


def parts(x: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scaled = x * scale
    big = scaled.astype(np.float16)
    return big, (scaled - big.astype(np.float32)).astype(np.float16)


def scale_of(largest: np.ndarray) -> np.ndarray:
    scale: np.ndarray = np.exp2(15 - np.frexp(largest)[1]).astype(np.float32)
    return scale


def relative_error(products: int, size: int = 128) -> float:
    """Of a product of normal matrices, in the Frobenius norm."""
    draw = np.random.default_rng(0)
    a, b = (draw.standard_normal((size, size)).astype(np.float32) for _ in range(2))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    if products == 0:  # float32, in order
        found = np.zeros((size, size), np.float32)
        for k in range(size):
            found += a[:, k, None] * b[None, k]
        return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    rows, matrix = scale_of(np.abs(a).max(1, keepdims=True)), scale_of(np.abs(b).max())
    (a_big, a_small), (b_big, b_small) = parts(a, rows), parts(b, matrix)
    total = np.zeros((size, size))
    if products == 3:
        total = accumulated(accumulated(total, a_small, b_big), a_big, b_small)
    total = accumulated(total, a_big, b_big) / (rows.astype(np.float64) * matrix)
    return float(np.linalg.norm(total - exact) / np.linalg.norm(exact))


def test_three_products_have_the_accuracy_of_float32_even_with_truncated_sums() -> None:
    assert relative_error(3) < 2 * relative_error(0) < 1e-6


def test_one_product_has_that_of_tf32() -> None:
    assert 2.0**-13 < relative_error(1) < 2.0**-11
