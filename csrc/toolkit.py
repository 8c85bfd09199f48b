"""The CUDA toolkit that the sources in cuda/ are compiled with: where it is, which version, or why there is none."""

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
        """Where its runtime library is, in the layouts it comes in."""
        return [str(path) for path in (self.home / "lib64", *self.home.glob("targets/*/lib")) if path.is_dir()]


def find() -> Toolkit | None:
    """The toolkit in CUDA_HOME or that of the nvcc on the PATH; it is nvcc that is asked, which may be a wrapper."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = str(Path(home) / "bin" / "nvcc") if home else shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    top = _said(r"^#\$ TOP=(.+)$", nvcc, "-dryrun", "-x", "cu", os.devnull)
    version = _said(r"release (\d+\.\d+)", nvcc, "--version")
    return Toolkit(Path(top).resolve(), version) if top and version else None


def _said(pattern: str, *command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return None
    found = re.search(pattern, done.stdout + done.stderr, re.MULTILINE)
    return found.group(1).strip() if found else None
