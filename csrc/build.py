"""Builds the native extensions for setup.py: `copgen._C` (build information) and `copgen._ops` (the operators).

The default GPU architectures are 8.0 and 9.0 plus PTX for 9.0: machine code for the two generations that the project
targets; the driver compiles the PTX for newer ones. Each further architecture adds minutes to the build.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from setuptools import Extension
from torch.utils import cpp_extension

from csrc import toolkit

FOLDER = Path("csrc")
ARCHITECTURES = "8.0;9.0+PTX"
OPTIMISED = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]


class Impossible(Exception):
    """The extensions cannot be built in this environment; the message is the reason."""


class Build(cpp_extension.BuildExtension):
    """Builds with a fallback: if compilation fails, the package is installed without native operators."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if os.environ.get("COPGEN_BUILD_NATIVE") == "1":
                raise
            last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            print(f"copgen: native operators not built, using the PyTorch reference: compilation failed: {last}")
            self.extensions = []  # install nothing that is half built


def extension() -> dict[str, Any]:
    """The keywords for `setup`.

    Raises:
        Impossible: no compiler, or torch is installed without its headers.
    """
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler.split()[0]) is None:
        raise Impossible(f"C++ compiler '{compiler}' not found")
    if not (Path(cpp_extension.include_paths()[0]) / "torch" / "library.h").exists():
        raise Impossible("torch is installed without its C++ headers")
    # If pip is called by its path, the environment's ninja is not on the PATH.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    cuda = usable_toolkit()
    if cuda:
        cpp_extension.CUDA_HOME = str(cuda.home)  # if nvcc is a wrapper, torch guesses the wrong folder
    os.environ.setdefault("TORCH_CUDA_ARCH_LIST", ARCHITECTURES)
    sanitize = ["-fsanitize=address", "-fno-omit-frame-pointer", "-g", "-DCOPGEN_SANITIZED"]
    extra = sanitize if os.environ.get("COPGEN_SANITIZE") == "1" else []
    openmp = ["-fopenmp"] if torch.backends.openmp.is_available() else []
    about = {
        "COPGEN_TORCH": torch.__version__,
        "COPGEN_CUDA": cuda.version if cuda else "",
        "COPGEN_ARCHITECTURES": os.environ["TORCH_CUDA_ARCH_LIST"].replace(" ", ";") if cuda else "",
    }
    loader = Extension(
        "copgen._C",
        [str(FOLDER / "build_info.cpp")],
        include_dirs=[path for path in cpp_extension.include_paths() if not path.endswith("api/include")],
        extra_compile_args={"cxx": [*openmp, *(f"-D{name}={value}" for name, value in about.items())]},
        language="c++",
    )
    make = cpp_extension.CUDAExtension if cuda else cpp_extension.CppExtension
    operators = make(
        "copgen._ops",
        sorted(map(str, sources(cuda=bool(cuda)))),
        depends=sorted(map(str, FOLDER.rglob("*.h"))),
        extra_compile_args={"cxx": [*OPTIMISED, *openmp, *extra], "nvcc": ["-O3", "-lineinfo", "--threads=1"]},
        library_dirs=cuda.libraries if cuda else [],
        extra_link_args=[*openmp, *extra],
    )
    return {"ext_modules": [loader, operators], "cmdclass": {"build_ext": Build}}


def sources(*, cuda: bool) -> list[Path]:
    """The sources of `copgen._ops`."""
    host = [FOLDER / "operators.cpp", FOLDER / "autograd.cpp", *FOLDER.glob("cpu/*.cpp")]
    return [*host, *FOLDER.glob("cuda/*.cpp"), *FOLDER.glob("cuda/*.cu")] if cuda else host


def usable_toolkit() -> toolkit.Toolkit | None:
    """The CUDA toolkit, if one fits this torch; otherwise None, with a notice."""
    if torch.version.cuda is None or not list(FOLDER.glob("cuda/*.cu")):
        return None
    found = toolkit.find()
    if found is None:
        print("copgen: nvcc not found, building the native operators for the CPU only.", file=sys.stderr)
        return None
    if found.version.split(".")[0] != torch.version.cuda.split(".")[0]:
        print(
            f"copgen: nvcc {found.version} does not match torch for CUDA {torch.version.cuda}, building CPU only.",
            file=sys.stderr,
        )
        return None
    return found
