"""How float32 operands are multiplied, in Triton's words, where they are: as PyTorch's own products are told to be."""

from __future__ import annotations

import torch


def input_precision() -> str:
    """Three TF32 products for each of float32 ("tf32x3"), or one."""
    return "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"
