"""The native operators `copgen._native`: loaded once, if they are installed and not disabled.

The library uses torch's stable ABI, so one build fits every torch from 2.11 on; it says itself how it was built.
COPGEN_NATIVE=0 forces PyTorch in their place, and in that of the Triton kernels.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import torch

import copgen
from copgen.runtime.environment import native_forbidden
from copgen.runtime.native_build import build_command, lacking

OPERATORS = (
    "navigate", "navigate_backward", "constrain", "constrain_backward", "draw_latents", "philox_bits",
    "add_product_", "exponentials_of_products_", "invert_silu_layers", "invert_silu_layers_backward", "product_kernels",
    "anderson_step", "augment_images", "nearest_rows", "built",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Native:
    """The native operators of a process. Hashable by identity, as choices are cached by it.

    Attributes:
        usable: whether they can be called.
        reason: one sentence on why.
        built: build information: `headers`, the torch whose headers were used; `compiler`; `cuda` and `architectures`,
            empty without CUDA kernels.
        command: the command that builds them, if they are not usable.
        instructions: the instruction set of their products in float32, such as "AVX2"; empty if there are none.
        forbidden: whether COPGEN_NATIVE=0 forces PyTorch, in place of the Triton kernels too.
    """

    usable: bool
    reason: str
    built: dict[str, str] = field(default_factory=dict)
    command: str = ""
    instructions: str = ""
    forbidden: bool = False

    @property
    def cuda(self) -> bool:
        """Whether they include CUDA kernels."""
        return self.usable and bool(self.built.get("cuda"))


def native() -> Native:
    """The native operators of this process."""
    return _load()


@functools.cache
def _load() -> Native:
    if native_forbidden():
        return Native(False, "COPGEN_NATIVE=0 forces the reference", forbidden=True)
    found = _loaded()
    if found.command:
        warnings.warn(
            f"Navigators and latents run on the PyTorch reference: {found.reason}", RuntimeWarning, stacklevel=3
        )
    return found


def _loaded() -> Native:
    """Load their library; returns them, or the reason why they cannot be used."""
    library = next(folder().glob("_native*.so"), None)
    if library is None:
        return _without(f"the native operators were not built with this installation{lacking()}")
    try:
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except OSError as error:
        return _without(f"the native operators cannot be loaded: {str(error.__cause__ or error).splitlines()[-1]}")
    missing = [name for name in OPERATORS if not hasattr(torch.ops.copgen, name)]
    if missing:
        return _without(f"they were built from older sources, without {', '.join(missing)}")
    built = dict(line.partition(" ")[::2] for line in torch.ops.copgen.built().splitlines())
    reason = f"C++ for the CPU, built by {built['compiler'].split(' (')[0]}"
    return Native(True, reason, built, instructions=torch.ops.copgen.product_kernels())


def folder() -> Path:
    """The folder of the library of native operators."""
    return Path(copgen.__file__).parent


def _without(reason: str) -> Native:
    command = build_command()
    return Native(False, f"{reason}; to build: {command}", command=command)
