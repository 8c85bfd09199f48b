"""`make tsan`: runs the CUDA kernels, on the CPU, under ThreadSanitizer (docs/native.md).

Every thread of a block is one to it, and only barriers order their memory. torch and the interpreter are not watched.
"""

from __future__ import annotations

import os
import subprocess
import sys

from csrc.asan import ROOT, library

TESTS = (
    "tests/cuda_shim/test_kernels.py::test_the_operators_launch_every_kernel",
    "tests/latents/operations/test_constrain.py::test_reject_puts_the_rows_that_keep_to_delta_first",
)
CHOSEN = "every_kernel or kernels_on_host"
# A process that has seen a race exits with this code, whatever the tests say.
OPTIONS = "ignore_noninstrumented_modules=1:exitcode=66"


def main() -> int:
    """Run the tests, and return their exit code."""
    watched = {
        "COPGEN_SANITIZE": "thread",
        "LD_PRELOAD": library(os.environ.get("CXX", "c++"), "libtsan.so"),
        "TSAN_OPTIONS": OPTIONS,
        "OMP_NUM_THREADS": "1",
    }
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "timeout=0", *TESTS, "-k", CHOSEN]
    return subprocess.run(tests, cwd=ROOT, env={**os.environ, **watched}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
