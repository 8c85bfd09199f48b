"""`make asan`: runs the operators' tests under AddressSanitizer, with a library built in a copy of the sources.

The CUDA kernels are compiled with it as well, for the CPU (docs/native.md), when the tests ask for them.
Leak detection is off: the interpreter and torch keep memory until they exit on purpose.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPY = ROOT / ".build" / "asan"
SOURCES = ("copgen", "copgen_cli", "kernels", "csrc", "tests", "setup.py", "pyproject.toml", "README.md")
TESTS = (
    "tests/cuda_shim",
    "tests/latents/operations",
    "tests/objectives/test_products.py",
    "tests/evaluation/test_nearest_rows.py",
    "tests/generators/residual_flow/test_anderson.py",
    "tests/generators/residual_flow/test_native_inverse.py",
    "tests/views/test_in_one_pass.py",
)
EXCLUDED = "compiles or opcheck or threads"


def main() -> int:
    """Build, run the tests, and return their exit code."""
    COPY.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        source, copy = ROOT / name, COPY / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.so")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy, ignore=ignored)
        else:
            shutil.copy(source, copy)
    compiler = os.environ.get("CXX", "c++")
    # The sanitizer resolves the C++ library's exceptions when it starts, so both are preloaded.
    libraries = " ".join(library(compiler, name) for name in ("libasan.so", "libstdc++.so"))
    options = {"COPGEN_SANITIZE": "1", "COPGEN_BUILD_NATIVE": "1", "COPGEN_CUDA": "0", "PYTHONPATH": str(COPY)}
    environment = {**os.environ, **options}
    subprocess.run([sys.executable, "setup.py", "build_ext", "--inplace"], cwd=COPY, env=environment, check=True)
    watched = {"LD_PRELOAD": libraries, "ASAN_OPTIONS": "detect_leaks=0", "OMP_NUM_THREADS": "1"}
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *TESTS, "-k", f"not ({EXCLUDED})"]
    return subprocess.run(tests, cwd=COPY, env={**environment, **watched}, check=False).returncode


def library(compiler: str, name: str) -> str:
    """The path of one of the compiler's libraries."""
    command = [compiler, f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
