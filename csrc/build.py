"""Builds the native operators, `copgen._native`, for setup.py: one library for every version of torch and of Python.

It uses torch's stable ABI, which torch 2.11 and newer keep, and nothing of Python. It is built for the CPU; also for
CUDA where torch sees a GPU, or where COPGEN_CUDA=1 or TORCH_CUDA_ARCH_LIST asks for it. The default GPU architectures
are 8.0 and 9.0 plus PTX for 9.0: machine code for the two generations that the project targets; the driver compiles the
PTX for newer ones. Each further architecture adds minutes to the build.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils import cpp_extension

from csrc import toolkit

FOLDER = Path("csrc")
ARCHITECTURES = "8.0;9.0+PTX"
OLDEST_TORCH = "0x020b000000000000"  # 2.11, in the encoding of torch's headers: no newer function of the ABI is used
OLDEST_PYTHON = "cp311"
OPTIMISED = ["-O3", "-g0", "-fvisibility=hidden", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]


class Impossible(Exception):
    """The extensions cannot be built in this environment; the message is the reason."""


class Build(cpp_extension.BuildExtension):
    """Builds with a fallback: if compilation fails, the package is installed without native operators."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if "1" in (os.environ.get("COPGEN_BUILD_NATIVE"), os.environ.get("COPGEN_CUDA")):
                raise  # they are demanded
            last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            print(f"copgen: native operators not built, using the PyTorch reference: compilation failed: {last}")
            self.extensions = []  # install nothing that is half built


def extension() -> dict[str, Any]:
    """The keywords for `setup`.

    Raises:
        Impossible: no compiler, torch without its headers or older than 2.11, or no CUDA where it is demanded.
    """
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler.split()[0]) is None:
        raise Impossible(f"C++ compiler '{compiler}' not found")
    if not (Path(cpp_extension.include_paths()[0]) / "torch" / "csrc" / "stable" / "library.h").exists():
        raise Impossible("torch is installed without its C++ headers")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 11):
        raise Impossible(f"torch {torch.__version__} is older than 2.11")
    # If pip is called by its path, the environment's ninja is not on the PATH.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    cuda = wanted_toolkit()
    if cuda:
        cpp_extension.CUDA_HOME = str(cuda.home)  # if nvcc is a wrapper, torch guesses the wrong folder
    os.environ.setdefault("TORCH_CUDA_ARCH_LIST", ARCHITECTURES)
    sanitize = ["-fsanitize=address", "-fno-omit-frame-pointer", "-g", "-DCOPGEN_SANITIZED"]
    extra = sanitize if os.environ.get("COPGEN_SANITIZE") == "1" else []
    about = {
        "TORCH_TARGET_VERSION": OLDEST_TORCH,
        "COPGEN_HEADERS": torch.__version__,
        "COPGEN_CUDA": cuda.version if cuda else "",
        "COPGEN_ARCHITECTURES": os.environ["TORCH_CUDA_ARCH_LIST"].replace(" ", ";") if cuda else "",
    }
    defined = [f"-D{name}={value}" for name, value in about.items()] + (["-DUSE_CUDA"] if cuda else [])
    make = cpp_extension.CUDAExtension if cuda else cpp_extension.CppExtension
    operators = make(
        "copgen._native",
        sorted(map(str, sources(cuda=bool(cuda)))),
        depends=sorted(map(str, FOLDER.rglob("*.h"))),
        extra_compile_args={"cxx": [*OPTIMISED, *defined, *extra], "nvcc": ["-O3", "-lineinfo", "--threads=1"]},
        library_dirs=cuda.libraries if cuda else [],
        extra_link_args=extra,
        py_limited_api=True,
    )
    wheel = {"py_limited_api": OLDEST_PYTHON}
    if cuda:
        wheel["build_number"] = f"1cu{cuda.version.replace('.', '')}"  # its name differs from that of the CPU's wheel
    return {"ext_modules": [operators], "cmdclass": {"build_ext": Build}, "options": {"bdist_wheel": wheel}}


def sources(*, cuda: bool) -> list[Path]:
    """The sources of `copgen._native`."""
    host = [FOLDER / "operators.cpp", *FOLDER.glob("cpu/*.cpp")]
    return [*host, *FOLDER.glob("cuda/*.cpp"), *FOLDER.glob("cuda/*.cu")] if cuda else host


def wanted_toolkit() -> toolkit.Toolkit | None:
    """The CUDA toolkit, if CUDA kernels are wanted; otherwise None.

    Raises:
        Impossible: COPGEN_CUDA=1 demands them, and no toolkit fits this torch.
    """
    demanded = os.environ.get("COPGEN_CUDA", "")
    if demanded == "0" or not (demanded or os.environ.get("TORCH_CUDA_ARCH_LIST") or torch.cuda.is_available()):
        return None
    found = toolkit.find()
    if torch.version.cuda is None:
        missing = "torch is installed without CUDA"
    elif found is None:
        missing = "nvcc not found"
    elif found.version.split(".")[0] != torch.version.cuda.split(".")[0]:
        missing = f"nvcc {found.version} does not match torch for CUDA {torch.version.cuda}"
    else:
        return found
    if demanded:
        raise Impossible(f"COPGEN_CUDA={demanded} demands CUDA kernels, but {missing}")
    print(f"copgen: {missing}, building the native operators for the CPU only.", file=sys.stderr)
    return None
