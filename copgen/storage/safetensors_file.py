"""A safetensors file, opened whatever bytes its name has; the library itself takes names in UTF-8 only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from safetensors import safe_open

from copgen.runtime.printable import is_utf8


@contextmanager
def opened(path: Path, *, framework: Literal["np", "pt"] = "np") -> Iterator[Any]:
    """The library's view of the file, with tensors on the CPU.

    Raises:
        SafetensorError: another format, or truncated.
        OSError: the file cannot be read.
    """
    if is_utf8(str(path)):
        with safe_open(path, framework=framework, device="cpu") as file:
            yield file
        return
    with (
        open(path, "rb") as stream,
        safe_open(f"/dev/fd/{stream.fileno()}", framework=framework, device="cpu") as file,
    ):
        yield file
