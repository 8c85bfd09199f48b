"""`make test-wheel`: installs the wheel into fresh environments, and runs the operators' tests on what is there.

    python -m csrc.wheel WHEEL VERSION...

A version of torch such as 2.11.0 is downloaded with all it needs, which is gigabytes; `newest` is the newest one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = (
    "tests/latents/operations",
    "tests/objectives/test_products.py",
    "tests/generators/residual_flow/test_anderson.py",
    "tests/generators/residual_flow/test_native_inverse.py",
    "tests/views/test_in_one_pass.py",
)
TOOLS = ("pytest", "pytest-timeout", "hypothesis")
INSTALLED = (
    "import copgen; from copgen.runtime.native import native; assert '{folder}' in copgen.__file__, copgen.__file__;"
    "import torch; print('torch', torch.__version__, '-', native().reason); assert native().usable"
)


def environment(folder: Path, wheel: Path, torch: str | None) -> Path:
    """A new environment with the wheel and this version of torch; without one, with the packages of this Python.

    Returns:
        its interpreter.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check", "install"]
    if torch is None:
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        subprocess.run([*pip, "--no-deps", "--ignore-installed", str(wheel)], check=True)
    else:
        subprocess.run([*pip, str(wheel), "torch" if torch == "newest" else f"torch=={torch}", *TOOLS], check=True)
    return python


def run_tests(python: Path, folder: Path, *arguments: str) -> int:
    """Run tests of the checkout, copied to a folder, on what is installed in an environment; returns pytest's code."""
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    check = [str(python), "-c", INSTALLED.format(folder=python.parents[1])]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(check, cwd=folder, check=True, env=alone)
    # Not the CUDA kernels on the CPU, which are compiled from a checkout's sources.
    line = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "-k", "not kernels_on_host", *arguments]
    return subprocess.run(line, cwd=folder, check=False, env=alone).returncode


def main(wheel: str, *versions: str) -> int:
    """Test the wheel with each version of torch; 1 if a test fails with any."""
    failed = []
    for version in versions:
        with tempfile.TemporaryDirectory(prefix=f"copgen-torch-{version}-") as folder:
            python = environment(Path(folder) / "environment", Path(wheel).resolve(), version)
            if run_tests(python, Path(folder), *TESTS):
                failed.append(version)
    print(f"failed with torch {', '.join(failed)}" if failed else f"passed with torch {', '.join(versions)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
