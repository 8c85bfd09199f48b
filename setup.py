"""Builds what pyproject.toml cannot express: `kernels` is installed as `copgen.kernels`, `csrc` as `copgen._native`.

The native operators are built if torch and a compiler are installed; csrc/build.py says when with CUDA kernels. If not,
the installation succeeds with one notice, and the PyTorch reference runs instead. Environment variables:

    COPGEN_BUILD_NATIVE   0: do not build; 1: fail if they cannot be built
    COPGEN_CUDA           0: without CUDA kernels; 1: with them, and fail if they cannot be built
    TORCH_CUDA_ARCH_LIST  GPU architectures, as for every torch extension
    COPGEN_SANITIZE       1: with AddressSanitizer (`make asan`)
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.editable_wheel import editable_wheel

sys.path.insert(0, str(Path(__file__).parent))
NATIVE = Path(__file__).parent / "csrc"
KERNELS = "copgen.kernels"


class Editable(editable_wheel):
    """Puts the checkout on the path, where copgen/runtime/checkout.py finds the kernels.

    For a package that lies elsewhere, setuptools would install an import hook, which is asked after the path: a folder
    called `copgen` beside a script, such as a clone of this repository, would be an empty namespace package first.
    """

    def finalize_options(self) -> None:
        if self.mode != "strict":  # links to every file, the kernels in their place
            self.distribution.packages.remove(KERNELS)
            self.distribution.package_dir = {"": "."}
        super().finalize_options()


def native() -> dict[str, Any]:
    """The keywords of `setup` for the extension; empty if it cannot or should not be built."""
    wanted = os.environ.get("COPGEN_BUILD_NATIVE", "")
    if wanted == "0" or not NATIVE.is_dir():
        return {}
    if importlib.util.find_spec("torch") is None:
        missing = (
            "torch is not installed in the build environment; install torch first, then use"
            " 'pip install --no-build-isolation', or install the wheel of 'make wheel'"
        )
    else:
        from csrc.build import Impossible, extension

        try:
            return extension()
        except Impossible as reason:
            missing = str(reason)
    if wanted == "1" or os.environ.get("COPGEN_CUDA") == "1":
        raise SystemExit(f"copgen: building the native operators failed: {missing}.")
    print(f"copgen: native operators not built, using the PyTorch reference: {missing}.", file=sys.stderr)
    return {}


extensions = native()
setup(
    packages=[*find_packages(include=["copgen*", "copgen_cli*"]), KERNELS],
    package_dir={KERNELS: "kernels"},
    cmdclass={"editable_wheel": Editable, **extensions.pop("cmdclass", {})},
    **extensions,
)
