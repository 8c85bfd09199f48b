"""Finds the CUDA toolkit that the sources in cuda/ are compiled with, and its version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Toolkit:
    """A toolkit's folder and version."""

    home: Path
    version: str

    @property
    def libraries(self) -> list[str]:
        """The folders of the CUDA runtime library, in any of the toolkit's layouts."""
        return [str(path) for path in (self.home / "lib64", *self.home.glob("targets/*/lib")) if path.is_dir()]


def find() -> Toolkit | None:
    """The toolkit in CUDA_HOME, or that of the nvcc on the PATH, which may be a wrapper: nvcc itself reports both."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = str(Path(home) / "bin" / "nvcc") if home else shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    top = _search_output(r"^#\$ TOP=(.+)$", nvcc, "-dryrun", "-x", "cu", os.devnull)
    version = _search_output(r"release (\d+\.\d+)", nvcc, "--version")
    return Toolkit(Path(top).resolve(), version) if top and version else None


def _search_output(pattern: str, *command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return None
    found = re.search(pattern, done.stdout + done.stderr, re.MULTILINE)
    return found.group(1).strip() if found else None
