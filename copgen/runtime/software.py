"""Versions of what determines the numbers, found without importing it."""

from __future__ import annotations

import functools
import importlib.util
import runpy
from importlib import metadata
from pathlib import Path

import copgen

_PACKAGES = ("torchvision", "numpy", "pillow", "scikit-learn", "safetensors")


def versions() -> dict[str, str]:
    """Package -> version."""
    return {
        "copgen": copgen.__version__,
        "torch": torch_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


@functools.cache
def torch_version() -> str:
    """torch's own version, which says which build it is ('2.14.1+cu130'); that of the package does not.

    It is what `torch.__version__` is taken from: a file of a few constants.
    """
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return str(runpy.run_path(str(Path(spec.origin).with_name("version.py")))["__version__"])
