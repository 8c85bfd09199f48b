"""The matrix products of the losses, with their elementwise epilogues.

native  csrc/cpu/logits.cpp, for float32 on an x86 CPU with AVX2: fused, elements are processed in registers
torch   anything else

Legend: rows (R, D) and columns (C, D) of unit length; e_ij = e^{<row i, column j> / tau}, 0 where j = i + diagonal.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from copgen.runtime.dispatch import choose

LOG2_E = 1.0 / math.log(2.0)
_OPS: Any = torch.ops.copgen


def is_native(x: Tensor) -> bool:
    """Whether the native kernels support matrices like this one."""
    return choose("contrastive loss", x.device, x.dtype).name == "native"


def add_product(out: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a b to `out` (R, C), for a (R, N) and b (N, C)."""
    if is_native(out):
        _OPS.add_product_.default(out, a, b)
    else:
        out.addmm_(a, b)


def exponentials(
    rows: Tensor,
    columns: Tensor,
    tau: float,
    scratch: Tensor,
    *,
    diagonal: int | None = None,
    row_weights: Tensor | None = None,
    column_weights: Tensor | None = None,
    row_sums: Tensor | None = None,
) -> Tensor:
    """The matrix e (R, C), in the flat buffer `scratch`.

    Args:
        rows, columns: unit rows, so that no exponential overflows.
        tau: the temperature.
        scratch: at least R C numbers.
        diagonal: where e is 0.
        row_weights, column_weights: a (R,) and b (C,), without gaps; e_ij is multiplied by a_i + b_j, or by the one
            that is given.
        row_sums: (R,), without gaps; the sums of the rows of e are added to it.
    """
    if is_native(rows):
        # Columns first: the native kernels pack their second operand, which should be the smaller one.
        out = scratch[: len(rows) * len(columns)].view(len(columns), len(rows))
        _call(columns, rows, tau, diagonal, column_weights, row_weights, out, None, row_sums)
        return out.T
    e = _exponentials(rows, columns, tau, scratch, diagonal)
    if row_weights is not None and column_weights is not None:
        e.mul_(row_weights[:, None] + column_weights)
    elif row_weights is not None:
        e.mul_(row_weights[:, None])
    elif column_weights is not None:
        e.mul_(column_weights)
    if row_sums is not None:
        row_sums += e.sum(1)
    return e


def add_sums(
    rows: Tensor,
    columns: Tensor,
    tau: float,
    scratch: Tensor,
    *,
    diagonal: int | None,
    row_sums: Tensor,
    column_sums: Tensor | None,
) -> None:
    """Add the sums of the rows of e to `row_sums` (R,) and those of its columns to `column_sums` (C,), without gaps."""
    if is_native(rows):
        _call(columns, rows, tau, diagonal, None, None, None, column_sums, row_sums)
        return
    e = _exponentials(rows, columns, tau, scratch, diagonal)
    row_sums += e.sum(1)
    if column_sums is not None:
        column_sums += e.sum(0)


def _call(a: Tensor, b: Tensor, tau: float, diagonal: int | None, *rest: Tensor | None) -> None:
    # Swapped operands: the diagonal of b against a.
    _OPS.exponentials_of_products_.default(a, b, LOG2_E / tau, None if diagonal is None else -diagonal, *rest)


def _exponentials(rows: Tensor, columns: Tensor, tau: float, scratch: Tensor, diagonal: int | None) -> Tensor:
    # As powers of 2, which PyTorch computes three times as fast on some CPUs.
    out = scratch[: len(rows) * len(columns)].view(len(rows), len(columns))
    torch.addmm(out, rows, columns.T, beta=0.0, alpha=LOG2_E / tau, out=out).exp2_()
    if diagonal is not None and -len(rows) < diagonal < len(columns):
        out.diagonal(diagonal).fill_(0.0)
    return out
