"""The native operators `copgen._ops`: loaded once, if they were built for this torch and are not disabled.

The module `copgen._C` records how they were built and is read first, so a library for another torch is never loaded.
COPGEN_NATIVE=0 forces the PyTorch reference.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

import copgen
from copgen.runtime.environment import native_forbidden

REBUILD = "pip install --no-build-isolation --no-deps --force-reinstall --editable ."
INSTALL = "pip install --no-build-isolation ."
OPERATORS = (
    "navigate", "navigate_backward", "constrain", "constrain_backward", "draw_latents", "philox_bits",
    "add_product_", "exponentials_of_products_", "invert_silu_layers", "invert_silu_layers_backward", "product_kernels",
    "anderson_step",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Native:
    """The native operators of a process. Hashable by identity, as choices are cached by it.

    Attributes:
        usable: whether they can be called.
        reason: one sentence on why.
        built: build information.
        command: the command that builds them, if they are not usable.
        instructions: the instruction set of their products in float32, such as "AVX2"; empty if there are none.
    """

    usable: bool
    reason: str
    built: dict[str, str] = field(default_factory=dict)
    command: str = ""
    instructions: str = ""

    @property
    def cuda(self) -> bool:
        """Whether they include CUDA kernels."""
        return self.usable and bool(self.built.get("cuda"))


def native() -> Native:
    """The native operators of this process."""
    return _load()


def _built() -> Native:
    """Their state according to the build information, before the library is loaded."""
    if native_forbidden():
        return Native(False, "COPGEN_NATIVE=0 forces the reference")
    try:
        # Not `import copgen._C`: mypy and linters would look for a file that may not exist.
        built: dict[str, str] = importlib.import_module("copgen._C").built()
    except ImportError:
        return _without("the native operators were not built with this installation", INSTALL)
    if built["torch"] != torch.__version__:
        return _without(f"they were built for torch {built['torch']} and this is {torch.__version__}", REBUILD, built)
    if _library() is None:
        return _without("the library of the native operators is missing", REBUILD, built)
    return Native(
        True, f"C++ for the CPU, built for torch {built['torch']} by {built['compiler'].split(' (')[0]}", built
    )


@functools.cache
def _load() -> Native:
    found = _built()
    if found.usable:
        found = _loaded(found)
    if found.command:
        warnings.warn(
            f"Navigators and latents run on the PyTorch reference: {found.reason}", RuntimeWarning, stacklevel=3
        )
    return found


def _loaded(found: Native) -> Native:
    """Load their library; returns them, or the reason why it failed."""
    try:
        torch.ops.load_library(_library())  # type: ignore[no-untyped-call]
    except OSError as error:
        last = str(error.__cause__ or error).splitlines()[-1]
        return _without(f"the native operators cannot be loaded: {last}", REBUILD, found.built)
    missing = [name for name in OPERATORS if not hasattr(torch.ops.copgen, name)]
    if missing:
        return _without(f"they were built from older sources, without {', '.join(missing)}", REBUILD, found.built)
    return replace(found, instructions=torch.ops.copgen.product_kernels())


def _library() -> Path | None:
    return next(folder().glob("_ops*.so"), None)


def folder() -> Path:
    """The path of the library of native operators."""
    return Path(copgen.__file__).parent


def _without(reason: str, command: str, built: dict[str, str] | None = None) -> Native:
    return Native(False, f"{reason}; to build: {command}", built or {}, command)
