"""Whether this machine can have a GPU that torch would use, found without importing torch."""

from __future__ import annotations

import ctypes
from pathlib import Path

_NVIDIA, _AMD = "libcuda.so.1", Path("/dev/kfd")


def may_have_gpu() -> bool:
    """False where there is none for certain, as no driver is there; then torch finds none either. True: ask torch."""
    if _AMD.exists():
        return True
    try:
        ctypes.CDLL(_NVIDIA)
    except OSError:
        return False
    return True
