"""The navigator on CUDA: launches the kernels."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from .input_precision import input_precision
from .launch_grid import processors
from .navigate_kernel import finish_statistics, navigate_rows
from .navigate_tiles import block_of, tile_for

STATISTICS = 6
PROGRAMS_AT_ONCE = 256  # whose sums one step of the last kernel reads


def forward(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, delta: float | None, kept: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z' (K, d), d (K,), stats (6,), and the first `kept` rows of h (kept, H), of layers up to `WIDEST` wide.

    float32, or 16-bit numbers that are computed in float32. With `torch.set_float32_matmul_precision` other than
    "highest", operands of the products have 11 bits, as in TF32.
    """
    z, w1, b1, w2, b2 = (x.contiguous() for x in (z, w1, b1, w2, b2))
    rows, D = z.shape
    H = w1.shape[0]
    tile = tile_for(z.device, rows)
    tiles = triton.cdiv(rows, tile.rows)
    programs = min(tiles, processors(z.device))
    z_pos = torch.empty_like(z)
    d = z.new_empty(rows, dtype=torch.float32)
    hidden = z.new_empty((kept, H), dtype=torch.float32)
    stats, partial = (z.new_empty(shape, dtype=torch.float64) for shape in (STATISTICS, (programs, STATISTICS)))
    if programs:
        navigate_rows[(programs,)](
            z, w1, b1, w2, b2, z_pos, d, hidden, partial, float("inf") if delta is None else delta, rows, kept, tiles,
            D=D, H=H, PRODUCTS=3 if input_precision() == "tf32x3" else 1, KEEP=kept > 0,
            BLOCK_R=tile.rows, BLOCK_D=block_of(D), BLOCK_H=min(tile.units, block_of(H)),
            num_warps=tile.warps, num_stages=1,
        )  # fmt: skip
    finish_statistics[(1,)](partial, stats, rows, programs, D=D, BLOCK=PROGRAMS_AT_ONCE, num_warps=4)
    return z_pos, d, stats, hidden
