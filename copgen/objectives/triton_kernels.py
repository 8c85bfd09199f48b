"""The Triton kernels behind the interface `Kernels`, and the operand dtypes of their matrix products.

The rows have length 1, for which float16 is more precise than bfloat16 at the same speed, so 16-bit embeddings become
float16 rows. float32 embeddings follow `torch.set_float32_matmul_precision`, as matrix products do:

    highest   three TF32 products per float32 product, with float32 accuracy
    high      TF32
    medium    float16 rows
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from copgen.kernels import info_nce as _info_nce
from copgen.kernels import normalize as _normalize
from copgen.kernels import sup_con as _sup_con
from copgen.objectives.kernel_interface import InfoNCEKernels, SupConKernels

info_nce: InfoNCEKernels = _info_nce
sup_con: SupConKernels = _sup_con
normalize = _normalize.normalize


def operand(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the unit rows that embeddings of `dtype` become."""
    if dtype in (torch.float16, torch.bfloat16) or torch.get_float32_matmul_precision() == "medium":
        return torch.float16
    return torch.float32


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """Losses are float32."""
    return torch.float32


def bounded(units: Sequence[Tensor]) -> bool:
    """Always true: a check would synchronise with the device."""
    return True
