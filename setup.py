"""Builds what pyproject.toml cannot express: `kernels` is installed as `copgen.kernels`, `csrc` as `copgen._C`, `_ops`.

The native operators are built if torch and a compiler are installed, and their CUDA sources if nvcc is. If not, the
installation succeeds with one notice, and the PyTorch reference runs instead. Environment variables:

    COPGEN_BUILD_NATIVE   0: do not build; 1: fail if they cannot be built
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

sys.path.insert(0, str(Path(__file__).parent))
NATIVE = Path(__file__).parent / "csrc"


def native() -> dict[str, Any]:
    """The keywords of `setup` for the extension; empty if it cannot or should not be built."""
    wanted = os.environ.get("COPGEN_BUILD_NATIVE", "")
    if wanted == "0" or not NATIVE.is_dir():
        return {}
    if importlib.util.find_spec("torch") is None:
        missing = "torch is not installed in the build environment (pass --no-build-isolation to pip)"
    else:
        from csrc.build import Impossible, extension

        try:
            return extension()
        except Impossible as reason:
            missing = str(reason)
    if wanted == "1":
        raise SystemExit(f"copgen: building the native operators failed: {missing}.")
    print(f"copgen: native operators not built, using the PyTorch reference: {missing}.", file=sys.stderr)
    return {}


setup(
    packages=[*find_packages(include=["copgen*", "copgen_cli*"]), "copgen.kernels"],
    package_dir={"copgen.kernels": "kernels"},
    **native(),
)
