"""Which implementation computes a contrastive loss, and why; the one place where that is decided.

blocked    the CPU, float32 and float64: tiles, whose products are native or PyTorch's; memory linear in the batch
triton     CUDA, float32 and 16 bit: fused kernels, memory linear in the batch
reference  anything else: the plain loss, with every logit in memory

The first two have the same interface, `Kernels`; the reference is differentiable PyTorch.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, Protocol, cast

import torch
from torch import Tensor

from copgen.objectives.blocked import products

Name = Literal["blocked", "triton", "reference"]
HALVES = (torch.float16, torch.bfloat16)
OLDEST_CAPABILITY = (8, 0)  # the first with asynchronous copies and TF32, which every tile of the table uses


@dataclass(frozen=True)
class Choice:
    """An implementation's name, and one sentence on why it is the one."""

    name: Name
    reason: str


class InfoNCEKernels(Protocol):
    """InfoNCE of unit rows; `_all` are the rows of all ranks, of which this rank's begin at `offset`."""

    @staticmethod
    def forward(
        h: Tensor,
        h_pos: Tensor,
        negatives: Tensor | None,
        h_all: Tensor,
        h_pos_all: Tensor,
        *,
        offset: int,
        both: bool,
        temperature: float | Tensor,
        bounded: bool,
        mean: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, and per contrasted row its log-sum-exp and 1 - P(positive)."""

    @staticmethod
    def backward(
        h: Tensor,
        h_pos: Tensor,
        negatives: Tensor | None,
        h_all: Tensor,
        h_pos_all: Tensor,
        lse_all: Tensor,
        weight_all: Tensor,
        lost_all: Tensor,
        *,
        offset: int,
        both: bool,
        temperature: float | Tensor,
        bounded: bool,
        scale: float,
        lengths: Sequence[Tensor] | None,
        dtypes: Sequence[torch.dtype],
        needs: Sequence[bool],
    ) -> tuple[list[Tensor | None], Tensor]:
        """The gradients of h, h_pos and negatives, and, in parts whose sum it is, <dz, z> over their rows."""


class SupConKernels(Protocol):
    """SupCon "out" of unit rows, with the same meaning of `_all` and `offset`."""

    @staticmethod
    def forward(
        z: Tensor,
        labels: Tensor,
        z_all: Tensor,
        labels_all: Tensor,
        *,
        offset: int,
        temperature: float | Tensor,
        bounded: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Per row: the loss, its log-sum-exp, 1 - P(positives), the number of positives."""

    @staticmethod
    def backward(
        z: Tensor,
        labels: Tensor,
        z_all: Tensor,
        labels_all: Tensor,
        lse_all: Tensor,
        lost_all: Tensor,
        count_all: Tensor,
        weight_all: Tensor,
        *,
        offset: int,
        temperature: float | Tensor,
        bounded: bool,
        scale: float,
        lengths: Tensor | None,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """The gradient of z, and, in parts whose sum it is, <dz, z> over its rows."""


class Kernels(Protocol):
    """What an implementation offers to the operators."""

    info_nce: InfoNCEKernels
    sup_con: SupConKernels

    @staticmethod
    def operand(dtype: torch.dtype) -> torch.dtype:
        """The dtype of the unit rows that embeddings of `dtype` become."""

    @staticmethod
    def accumulator(dtype: torch.dtype) -> torch.dtype:
        """The dtype of the losses of embeddings of `dtype`."""

    @staticmethod
    def normalize(tensors: Sequence[Tensor], dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
        """Unit rows in `dtype`, and the rows' lengths."""

    @staticmethod
    def bounded(units: Sequence[Tensor]) -> bool:
        """Whether rows that are said to be normalised are no longer than 1."""


def choose(device: torch.device, dtype: torch.dtype) -> Choice:
    """The implementation for embeddings of this device and dtype."""
    if device.type == "cpu":
        return Choice("blocked", _reason_on_cpu(dtype))
    if device.type != "cuda":
        return Choice("reference", f"there is no kernel for devices of type {device.type}")
    if dtype == torch.float64:
        return Choice("reference", "the CUDA kernels have no float64")
    return _choose_cuda(device.index)


def _reason_on_cpu(dtype: torch.dtype) -> str:
    if dtype == torch.float64:
        return "the CPU has tiles in plain PyTorch for float64"
    instructions = products.instructions()
    if instructions:
        return f"the CPU has tiles with native products in {instructions}"
    return "the CPU has tiles in plain PyTorch, where native products are not built or not for this processor"


# A constant for compiled code, marked as `copgen.runtime.philox.stream_key` is: the decorator takes a second to import.
vars(_reason_on_cpu)["_dynamo_marked_constant"] = True


@functools.cache
def _choose_cuda(index: int | None) -> Choice:
    if importlib.util.find_spec("triton") is None:
        return Choice("reference", "triton is not installed")
    capability = torch.cuda.get_device_capability(index)
    if capability < OLDEST_CAPABILITY:
        oldest = "{}.{}".format(*OLDEST_CAPABILITY)
        return Choice("reference", f"compute capability {capability[0]}.{capability[1]} is older than {oldest}")
    return Choice("triton", f"fused kernels for compute capability {capability[0]}.{capability[1]}")


def chosen(h: Tensor) -> Name:
    """The implementation for these embeddings; says once when it is the slow one."""
    choice = choose(h.device, h.dtype)
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
    return cast("Kernels", _load("triton_kernels" if device.type == "cuda" else "blocked"))


@functools.cache
def _load(name: str) -> ModuleType:
    return importlib.import_module(f"copgen.objectives.{name}")
