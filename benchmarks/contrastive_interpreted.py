"""The CUDA kernels on a machine without a GPU: Triton's interpreter runs them on CPU tensors (TRITON_INTERPRET=1).

Shows only that they run with the GPU benchmark's dtypes, and their accuracy; interpreted times are meaningless.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import torch
from torch import Tensor

from copgen.objectives.batch import Pairs

SHORTEST = 1e-12  # a row's length is at least this, as in the library


def wanted() -> bool:
    """Whether TRITON_INTERPRET is set, which Triton reads when it is imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"


class InterpretedLoss(torch.autograd.Function):
    """The kernels' forward and backward pass as the library's operator calls them."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
        """The mean loss, in nats."""
        kernels = importlib.import_module("copgen.kernels.info_nce")
        (z, z_pos), lengths = _unit_rows(h, h_pos)
        ctx.pairs = Pairs([z, z_pos], lengths, z, z_pos, 0, False, temperature, True, h.dtype)
        loss, lse, lost = kernels.forward(ctx.pairs, mean=True)
        ctx.save_for_backward(lse, lost)
        mean: Tensor = loss
        return mean

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor, Tensor, None]:
        """The gradients of h and h_pos."""
        kernels = importlib.import_module("copgen.kernels.info_nce")
        lse, lost = ctx.saved_tensors
        rest = {"scale": 1.0 / len(lse), "needs": [True, True, False]}
        gradients, _ = kernels.backward(ctx.pairs, lse, outputs[0].contiguous(), lost, **rest)
        return gradients[0], gradients[1], None


def _unit_rows(*embeddings: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Unit rows in the kernels' dtype, and the original lengths in float32."""
    lengths = [h.float().norm(dim=1).clamp(min=SHORTEST) for h in embeddings]
    operand = torch.float32 if embeddings[0].dtype == torch.float32 else torch.float16
    rows = zip(embeddings, lengths, strict=True)
    return [(h.float() / length[:, None]).to(operand).contiguous() for h, length in rows], lengths


def loss(h: Tensor, h_pos: Tensor, temperature: float) -> Tensor:
    """Algorithm 1's loss of embeddings on the CPU, from the CUDA kernels."""
    value: Tensor = InterpretedLoss.apply(h, h_pos, temperature)
    return value
