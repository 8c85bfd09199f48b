"""How the native operators are built: `copgen._C`, which says how, and `copgen._ops`, the operators.

For setup.py alone. The default GPU architectures are 8.0 and 9.0 with 9.0's PTX: the two generations that the project
is meant for in machine code, newer ones through the driver; each further one adds its share to a build's minutes.
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
    """Why it cannot be built here."""


class Build(cpp_extension.BuildExtension):
    """With a fallback: a compilation that fails leaves a package without native operators, and says so."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if os.environ.get("COPGEN_BUILD_NATIVE") == "1":
                raise
            self.announce_failure(error)

    def announce_failure(self, error: Exception) -> None:
        """One notice; nothing that was half built is installed."""
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        print(f"copgen: no native operators, the PyTorch reference runs instead: compiling failed: {last}")
        self.extensions = []


def extension() -> dict[str, Any]:
    """The keywords for `setup`.

    Raises:
        Impossible: no compiler, or torch without its headers.
    """
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler.split()[0]) is None:
        raise Impossible(f"there is no C++ compiler '{compiler}'")
    if not (Path(cpp_extension.include_paths()[0]) / "torch" / "library.h").exists():
        raise Impossible("torch has no headers here")
    # Where pip is called by its path, the environment's ninja is not on the PATH.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    cuda = usable_toolkit()
    if cuda:
        cpp_extension.CUDA_HOME = str(cuda.home)  # torch takes the folder of a wrapper for that of the toolkit
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
        [str(FOLDER / "build.cpp")],
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
    """The operators' sources; `build.cpp` is the loader's."""
    found = [FOLDER / "operators.cpp", FOLDER / "autograd.cpp", *FOLDER.glob("cpu/*.cpp")]
    return [*found, *FOLDER.glob("cuda/*.cpp"), *FOLDER.glob("cuda/*.cu")] if cuda else found


def usable_toolkit() -> toolkit.Toolkit | None:
    """The CUDA toolkit, if there is one for this torch; what is left out is said."""
    if torch.version.cuda is None or not list(FOLDER.glob("cuda/*.cu")):
        return None
    found = toolkit.find()
    if found is None:
        print("copgen: no nvcc here, so the native operators are built for the CPU alone.", file=sys.stderr)
        return None
    if found.version.split(".")[0] != torch.version.cuda.split(".")[0]:
        print(
            f"copgen: nvcc {found.version} does not fit torch for CUDA {torch.version.cuda}: CPU alone.",
            file=sys.stderr,
        )
        return None
    return found
