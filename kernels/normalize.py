"""L2-normalises the rows of up to three matrices in one launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
from torch import Tensor

from .normalize_kernel import normalize_rows

MOST = 3  # matrices


def normalize(tensors: Sequence[Tensor], dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """The rows of up to three (N, D) matrices over max(|x|, 1e-12), in `dtype`; and those lengths (N,), float32."""
    units = [torch.empty(x.shape, dtype=dtype, device=x.device) for x in tensors]
    lengths = [torch.empty(x.shape[0], dtype=torch.float32, device=x.device) for x in tensors]
    filler = MOST - len(tensors)
    x, z, length = ([*given, *[given[0]] * filler] for given in (list(tensors), units, lengths))
    D = x[0].shape[1]
    block_d = triton.next_power_of_2(D)
    block_r = rows_at_once(block_d)
    grid = (triton.cdiv(max(part.shape[0] for part in x), block_r), len(tensors))
    normalize_rows[grid](
        *x, *z, *length,
        *(part.shape[0] for part in x), *(part.stride(0) for part in x), *(part.stride(1) for part in x),
        D=D, MATRICES=len(tensors), BLOCK_R=block_r, BLOCK_D=block_d, num_warps=4,
    )  # fmt: skip
    return units, lengths


def rows_at_once(block_d: int) -> int:
    """How many whole rows a program of four warps holds, at 32 numbers per thread."""
    return max(1, 4096 // block_d)
