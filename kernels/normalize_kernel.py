"""The kernel that L2-normalises rows."""

from __future__ import annotations

import triton
import triton.language as tl

from .device_functions import SHORTEST


@triton.jit
def normalize_rows(
    x0, x1, x2, z0, z1, z2, length0, length1, length2,
    count0, count1, count2, row_stride0, row_stride1, row_stride2, stride0, stride1, stride2,
    D: tl.constexpr, MATRICES: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Rows over max(|x|, SHORTEST), and those lengths; program_id(1) is the matrix."""
    x, z, lengths, count, row_stride, stride = x0, z0, length0, count0, row_stride0, stride0
    if MATRICES > 1:
        if tl.program_id(1) == 1:
            x, z, lengths, count, row_stride, stride = x1, z1, length1, count1, row_stride1, stride1
    if MATRICES > 2:
        if tl.program_id(1) == 2:
            x, z, lengths, count, row_stride, stride = x2, z2, length2, count2, row_stride2, stride2
    rows = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    d = tl.arange(0, BLOCK_D)
    inside = (rows < count)[:, None] & (d < D)[None, :]
    row = rows.to(tl.int64)[:, None]
    # Upcast at the load: the interpreter cannot compute with bfloat16.
    values = tl.load(x + row * row_stride + d.to(tl.int64)[None, :] * stride, mask=inside, other=0.0).to(tl.float32)
    norm = tl.sqrt(tl.sum(values * values, 1))
    length = tl.where(norm > SHORTEST, norm, SHORTEST)
    length = tl.where(norm == norm, length, norm)  # propagate NaN
    tl.store(z + row * D + d[None, :], (values / length[:, None]).to(z.dtype.element_ty), mask=inside)
    tl.store(lengths + rows, length, mask=rows < count)
