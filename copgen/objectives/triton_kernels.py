"""The Triton kernels behind the interface `Kernels`, and the operand dtypes of their matrix products.

The rows have length 1, for which float16 is more precise than bfloat16 at the same speed, so 16-bit embeddings become
float16 rows. float32 embeddings follow `torch.set_float32_matmul_precision`, as matrix products do:

    highest   three TF32 products per float32 product, with float32 accuracy
    high      TF32
    medium    float16 rows
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor

from copgen.kernels import info_nce as _info_nce
from copgen.kernels import normalize as _normalize
from copgen.kernels import sup_con as _sup_con
from copgen.objectives.implementations import HALVES


def operand(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the unit rows that embeddings of `dtype` become."""
    if dtype in HALVES or torch.get_float32_matmul_precision() == "medium":
        return torch.float16
    return torch.float32


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """Losses are float32."""
    return torch.float32


def bounded(units: Sequence[Tensor]) -> bool:
    """Always true: a check would synchronise with the device."""
    return True


def input_precision() -> str:
    """How float32 operands are multiplied."""
    return "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"


normalize = _normalize.normalize
info_nce = SimpleNamespace(
    forward=lambda *args, **settings: _info_nce.forward(*args, input_precision=input_precision(), **settings),
    backward=lambda *args, **settings: _info_nce.backward(*args, input_precision=input_precision(), **settings),
)
sup_con = SimpleNamespace(
    forward=lambda *args, **settings: _sup_con.forward(*args, input_precision=input_precision(), **settings),
    backward=lambda *args, **settings: _sup_con.backward(*args, input_precision=input_precision(), **settings),
)
