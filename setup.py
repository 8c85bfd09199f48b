"""What pyproject.toml cannot say: the folder `kernels` is installed as `copgen.kernels`, and `csrc` as `copgen._C`.

The native operators are built where torch and a compiler are there, with the CUDA sources where nvcc is. Without, the
installation succeeds, says so once, and everything runs on the plain PyTorch reference. Environment variables:

    COPGEN_BUILD_NATIVE   0: do not build; 1: fail rather than go without
    TORCH_CUDA_ARCH_LIST  GPU architectures, as everywhere in torch
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
    """What `setup` needs for the extension; nothing where it cannot or shall not be built."""
    wanted = os.environ.get("COPGEN_BUILD_NATIVE", "")
    if wanted == "0" or not NATIVE.is_dir():
        return {}
    if importlib.util.find_spec("torch") is None:
        missing = "torch is not installed where it is built (pip needs --no-build-isolation for that)"
    else:
        from csrc.build import Impossible, extension

        try:
            return extension()
        except Impossible as reason:
            missing = str(reason)
    if wanted == "1":
        raise SystemExit(f"copgen: the native operators cannot be built: {missing}.")
    print(f"copgen: no native operators, the PyTorch reference runs instead: {missing}.", file=sys.stderr)
    return {}


setup(
    packages=[*find_packages(include=["copgen*", "copgen_cli*"]), "copgen.kernels"],
    package_dir={"copgen.kernels": "kernels"},
    **native(),
)
