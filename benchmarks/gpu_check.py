"""`make gpu-check`: everything that needs a GPU. Builds in place, tests, checks for memory errors, runs benchmarks.

Uses the interpreter that runs it, installs nothing and needs no network. All steps run, even if one fails; the exit
code is 0 if all succeeded, 4 without a GPU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    "tests/latents/operations",
    "tests/runtime/test_native.py",
    "tests/doctor/test_machine_report.py",
    "tests/stages/sample/test_cuda.py",
    "tests/stages/pretrain/test_cuda.py",
)
NO_GPU = 4


def steps() -> list[tuple[str, list[str]]]:
    """Every step's name and command."""
    python = sys.executable
    pytest = [python, "-m", "pytest", "-p", "no:cacheprovider", "-o", "timeout=0"]
    results = "benchmarks/results"
    found = [
        ("build", [python, "setup.py", "build_ext", "--inplace"]),
        ("doctor", [python, "-m", "copgen_cli", "doctor"]),
        ("tests", [*pytest, *TESTS]),
    ]
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        sys.stderr.write("compute-sanitizer not found: skipping the check for memory errors.\n")
    else:
        watched = [sanitizer, "--error-exitcode", "1", *pytest, TESTS[0], "-k", "cuda and not compiles"]
        found.append(("compute-sanitizer", watched))
    for name in ("contrastive", "navigator", "pretrain_step"):
        out = f"{results}/{name.replace('_', '-')}-cuda.md"
        found.append((name, [python, "-m", f"benchmarks.{name}", "--device", "cuda", "--out", out]))
    sampling = ["benchmarks.sampling", "--parts", "cuda", "--out", f"{results}/sampling-cuda.md"]
    found.append(("sampling", [python, "-m", *sampling]))
    return found


def main() -> int:
    """Runs all steps; returns the exit code."""
    if not torch.cuda.is_available():
        sys.stderr.write(f"{sys.executable} finds no CUDA device (torch {torch.__version__}).\n")
        return NO_GPU
    environment = {**os.environ, "COPGEN_BUILD_NATIVE": "1", "PYTHONPATH": str(ROOT)}
    failed = []
    for name, command in steps():
        sys.stderr.write(f"== {name}: {' '.join(command)}\n")
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
            failed.append(name)
            if name == "build":
                break
    sys.stderr.write(f"Failed: {', '.join(failed)}.\n" if failed else "All steps passed.\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
