"""Removes each barrier of the CUDA kernels in turn, and runs the operators' tests until one fails.

    python -m tests.cuda_shim.barriers

A barrier without which no test fails is redundant, or the tests miss what it is for.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cuda_shim.library import ELSEWHERE, ROOT, cuda_sources
from tests.cuda_shim.translation import barriers, without_barrier

TESTS = (
    "tests/cuda_shim/test_kernels.py::test_no_bit_depends_on_the_order_of_execution",
    "tests/latents/operations/test_constrain.py",
    "tests/latents/operations/test_navigate.py::test_is_what_numpy_computes",
)
_FAILED = re.compile(r"^(?:FAILED|ERROR) \S+::(\w+)", re.MULTILINE)


def places() -> list[tuple[str, int]]:
    """The file and line of every barrier."""
    return [(name, line) for name, text in cuda_sources().items() for line, _ in barriers(text)]


def failing_test(name: str, line: int) -> str:
    """The first test that fails without this barrier; "crash" if the process ends before; empty if none does."""
    with tempfile.TemporaryDirectory() as folder:
        for source, text in cuda_sources().items():
            changed = without_barrier(text, line) if source == name else text
            (Path(folder) / source).write_text(changed)
        tests = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-x",
            "-k",
            "order or kernels_on_host",
            *TESTS,
        ]
        environment = {**os.environ, ELSEWHERE: folder}
        done = subprocess.run(tests, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return "crash"
    found = _FAILED.search(done.stdout)
    if found is None:
        raise RuntimeError(f"pytest exits with {done.returncode}:\n{done.stdout}{done.stderr}")
    return found.group(1)


def main() -> int:
    """Print a line for each barrier; 1 if one can be removed."""
    removable = 0
    for name, line in places():
        found = failing_test(name, line)
        removable += not found
        print(f"{name}:{line}\t{found or 'no test fails'}", flush=True)
    return int(removable > 0)


if __name__ == "__main__":
    sys.exit(main())
