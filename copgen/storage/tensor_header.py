"""The header of a file of tensors: what the file is and what made it, read without its tensors and without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from copgen.runtime.errors import DataError

FORMAT = 1
ENTRY = "copgen"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a file that is no whole safetensors file raises into an error that says so."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is not a whole safetensors file: {error}.",
            fix="It is truncated or of another format; make it again.",
        ) from None


def read_header(path: Path, *, kind: str) -> dict[str, Any]:
    """The header of a file of the given kind; its length is checked, its tensors are not.

    Raises:
        DataError: missing, truncated, foreign, of another kind, or of a newer format.
    """
    if not path.is_file():
        raise DataError(
            f"{path} is missing: no {kind} to load.", fix="Name its file, or the run folder that it lies in."
        )
    with reading(path), safe_open(path, framework="np") as file:
        entry = (file.metadata() or {}).get(ENTRY)
    if entry is None:
        raise DataError(f"{path} is a safetensors file, but copgen did not write it (no 'copgen' entry in its header).")
    try:
        header = json.loads(entry)
    except (ValueError, RecursionError):
        raise DataError(f"{path}: the 'copgen' header entry is not JSON.") from None
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise DataError(f"{path}: the 'copgen' header entry is not an object with a format number.")
    if header["format"] > FORMAT:
        raise DataError(
            f"{path} has format {header['format']}; this copgen reads up to {FORMAT}.", fix="Update copgen."
        )
    if header.get("kind") != kind:
        raise DataError(f"{path} holds a {header.get('kind')}, not a {kind}.")
    return header
