"""The dispatcher: one table of implementations, and `choose`, which says which one runs and why.

triton     fused kernels (kernels/) for CUDA; memory linear in the batch
native     C++ for the CPU and CUDA kernels (csrc/), if they were built
blocked    tiles of the contrastive losses in PyTorch; memory linear in the batch
reference  plain PyTorch: for every operation, on any device

Every fast path calls `choose`, and `copgen doctor` shows its results for this machine.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from copgen.runtime.native import Native, native
from copgen.runtime.native_build import build_command
from copgen.runtime.triton_build import what_triton_lacks

Operation = Literal[
    "contrastive loss",
    "navigate",
    "constrain",
    "draw_latents",
    "random words",
    "fixed points",
    "flow inverse",
    "views",
    "nearest rows",
]
Name = Literal["triton", "native", "blocked", "reference"]

OLDEST_CAPABILITY = (8, 0)  # the first with asynchronous copies and TF32, which all tiles of the kernels use
F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64
FLOATING = (F16, BF16, F32, F64)
NARROW = 128  # coordinates and hidden units that the fused navigator keeps on chip


class Choice(NamedTuple):
    """The name of the chosen implementation, and one sentence on why."""

    name: Name
    reason: str


class Requirement(NamedTuple):
    """Whether an implementation can run on this machine, and one sentence on its requirement."""

    met: bool
    reason: str


@dataclass(frozen=True)
class Implementation:
    """An implementation faster than the reference: its device type, its dtypes, its requirement.

    With `narrow` it is for layers of up to `NARROW` coordinates and hidden units.
    """

    name: Name
    device: str
    dtypes: tuple[torch.dtype, ...]
    requirement: Callable[[Native, torch.device], Requirement]
    narrow: bool = False


@dataclass(frozen=True)
class Operator:
    """The dtypes of an operation, all of which its reference supports, and faster implementations, fastest first."""

    dtypes: tuple[torch.dtype, ...]
    faster: tuple[Implementation, ...]


def _cpp(library: Native, device: torch.device) -> Requirement:
    return Requirement(library.usable, library.reason)


def _cpp_products(library: Native, device: torch.device) -> Requirement:
    if not library.usable:
        return Requirement(False, library.reason)
    if not library.instructions:
        return Requirement(False, "native products are not built for this processor")
    return Requirement(True, f"{library.reason}, with products in {library.instructions}")


def _cuda(library: Native, device: torch.device) -> Requirement:
    if not library.usable:
        return Requirement(False, library.reason)
    if not library.cuda:
        command = build_command(cuda=True)
        return Requirement(False, f"the native operators were built without CUDA; to build: {command}")
    built, capability = library.built["architectures"], torch.cuda.get_device_capability(device.index)
    if not covers(built, capability):
        has = "{}.{}".format(*capability)
        return Requirement(False, f"CUDA kernels for {built}, not {has}; build them with TORCH_CUDA_ARCH_LIST={has}")
    return Requirement(True, f"CUDA kernels for {built}")


def covers(architectures: str, capability: tuple[int, int]) -> bool:
    """Whether code for architectures, such as "8.0;9.0+PTX", runs on a GPU; a name, as 'Ampere', counts as fitting."""
    for one in architectures.split(";"):
        version, _, portable = one.partition("+")
        if not re.fullmatch(r"\d+\.\d+", version):
            return True
        major, minor = map(int, version.split("."))
        if (major == capability[0] and minor <= capability[1]) or (portable and (major, minor) <= capability):
            return True
    return False


def _triton(library: Native, device: torch.device) -> Requirement:
    if library.forbidden:
        return Requirement(False, library.reason)
    if importlib.util.find_spec("triton") is None:
        return Requirement(False, "triton is not installed")
    capability = torch.cuda.get_device_capability(device.index)
    has, needs = ("{}.{}".format(*version) for version in (capability, OLDEST_CAPABILITY))
    if capability < OLDEST_CAPABILITY:
        return Requirement(False, f"compute capability {has} is older than {needs}")
    if lacking := what_triton_lacks():
        return Requirement(False, lacking)
    return Requirement(True, f"fused kernels for compute capability {has}")


def _nothing(library: Native, device: torch.device) -> Requirement:
    return Requirement(True, "")


_ON_LATENTS = Operator(
    FLOATING,
    (
        Implementation("native", "cpu", (BF16, F32, F64), _cpp),
        Implementation("native", "cuda", (BF16, F32, F64), _cuda),
    ),
)
TABLE: dict[Operation, Operator] = {
    "contrastive loss": Operator(
        FLOATING,
        (
            Implementation("triton", "cuda", (F16, BF16, F32), _triton),
            Implementation("native", "cpu", (F16, BF16, F32), _cpp_products),  # the tiles' products
            Implementation("blocked", "cpu", FLOATING, _nothing),
        ),
    ),
    "navigate": Operator(
        FLOATING,
        (
            Implementation("triton", "cuda", (F16, BF16, F32), _triton, narrow=True),
            *_ON_LATENTS.faster,
        ),
    ),
    "constrain": _ON_LATENTS,
    "draw_latents": Operator(
        (F32,), (Implementation("native", "cpu", (F32,), _cpp), Implementation("native", "cuda", (F32,), _cuda))
    ),
    "random words": Operator((torch.int64,), (Implementation("native", "cpu", (torch.int64,), _cpp),)),
    "fixed points": Operator((F32, F64), (Implementation("native", "cpu", (F32, F64), _cpp),)),
    "flow inverse": Operator((F32, F64), (Implementation("native", "cpu", (F32,), _cpp_products),)),
    "views": Operator((torch.uint8,), (Implementation("native", "cpu", (torch.uint8,), _cpp),)),
    "nearest rows": Operator((F32, F64), (Implementation("native", "cpu", (F32,), _cpp_products),)),
}


def choose(operation: Operation, device: torch.device, dtype: torch.dtype, *, wide: bool = False) -> Choice:
    """The implementation for tensors of this device and dtype: the fastest whose requirement is met.

    The reason is its requirement or, if it is not the fastest, why a faster one is not available. `wide`: a navigator
    has more than `NARROW` coordinates or hidden units.
    """
    return _choose(native(), operation, device, dtype, wide)


# A constant for compiled code, marked like `copgen.runtime.philox.stream_key`: the decorator takes a second to import.
vars(choose)["_dynamo_marked_constant"] = True


@functools.cache
def _choose(library: Native, operation: Operation, device: torch.device, dtype: torch.dtype, wide: bool) -> Choice:
    reason = ""
    for one in TABLE[operation].faster:
        if one.device != device.type:
            continue
        if dtype not in one.dtypes:
            reason = f"there is no {one.name} kernel for {str(dtype).removeprefix('torch.')}"
            continue
        if wide and one.narrow:
            reason = f"the {one.name} kernel is for up to {NARROW} coordinates and hidden units"
            continue
        requirement = one.requirement(library, device)
        if requirement.met:
            return Choice(one.name, reason or requirement.reason)
        reason = requirement.reason
    return Choice("reference", reason or f"there is no kernel for devices of type {device.type}")


def depends_on_width(operation: Operation) -> bool:
    """Whether an operation has an implementation for narrow layers."""
    return any(one.narrow for one in TABLE[operation].faster)
