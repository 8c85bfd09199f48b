"""What an implementation of the contrastive losses offers to their operators, and which one a loss takes.

The kernels for the CPU (`blocked`) and for CUDA (`triton_kernels`) have the same interface, `Kernels`; the reference is
differentiable PyTorch, without operators.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from copgen.objectives.batch import Labelled, Pairs
from copgen.runtime.dispatch import Name, choose


class InfoNCEKernels(Protocol):
    """InfoNCE of unit rows; `_all` are numbers of the contrasted rows of all ranks."""

    def forward(self, pairs: Pairs, *, mean: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, and per contrasted row its log-sum-exp and 1 - P(positive)."""

    def backward(
        self, pairs: Pairs, lse_all: Tensor, weight_all: Tensor, lost_all: Tensor, *, scale: float, needs: list[bool]
    ) -> tuple[list[Tensor | None], Tensor]:
        """The gradients of h, h_pos and negatives, and, in parts whose sum it is, <dz, z> over their rows."""


class SupConKernels(Protocol):
    """SupCon "out" of unit rows, with the same meaning of `_all`."""

    def forward(self, batch: Labelled) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Per row: the loss, its log-sum-exp, 1 - P(positives), the number of positives."""

    def backward(
        self, batch: Labelled, lse_all: Tensor, lost_all: Tensor, count_all: Tensor, weight_all: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The gradient of z, and, in parts whose sum it is, <dz, z> over its rows."""


class Kernels(Protocol):
    """What an implementation offers to the operators."""

    info_nce: InfoNCEKernels
    sup_con: SupConKernels

    def operand(self, dtype: torch.dtype) -> torch.dtype:
        """The dtype of the unit rows that embeddings of `dtype` become."""

    def accumulator(self, dtype: torch.dtype) -> torch.dtype:
        """The dtype of the losses of embeddings of `dtype`."""

    def normalize(self, tensors: Sequence[Tensor], dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
        """Unit rows in `dtype`, and the rows' lengths."""

    def bounded(self, units: Sequence[Tensor]) -> bool:
        """Whether rows that are said to be normalised are no longer than 1."""


def chosen(h: Tensor) -> Name:
    """The implementation for these embeddings; says once when it is the slow one."""
    choice = choose("contrastive loss", h.device, h.dtype)
    if choice.name == "reference" and not torch.compiler.is_compiling():
        _announce(str(h.device), choice.reason)
    return choice.name


@functools.cache
def _announce(device: str, reason: str) -> None:
    warnings.warn(
        f"The contrastive loss on {device} runs the plain reference, with memory quadratic in the batch: {reason}.",
        RuntimeWarning,
        stacklevel=4,
    )


def kernels_for(device: torch.device) -> Kernels:
    """The kernels that the operators call on a CPU or CUDA device."""
    return _load(device.type)


@functools.cache
def _load(kind: str) -> Kernels:
    if kind == "cuda":  # imports Triton
        from copgen.objectives import triton_kernels

        return triton_kernels
    from copgen.objectives import blocked

    return blocked
