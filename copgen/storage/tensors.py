"""Files of tensors: safetensors with a JSON header entry that states the kind and provenance of the file.

The header entry `copgen` is a JSON object with `format` (the version of this layout), `kind` ('navigator', 'encoder',
'generator', 'checkpoint') and what is needed to rebuild the module. Loading a file never executes code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from copgen.runtime.errors import DataError
from copgen.runtime.path_errors import path_error
from copgen.runtime.urls import refuse_url
from copgen.storage.files import writing
from copgen.storage.safetensors_file import opened
from copgen.storage.safetensors_stream import write_safetensors

FORMAT = 1
ENTRY = "copgen"
WRITTEN_BY = {
    "encoder": "copgen pretrain",
    "generator": "copgen generator fit, fetch or import",
    "navigator": "copgen navigate",
}


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, kind: str, header: Mapping[str, Any], alone: bool = True
) -> None:
    """Write tensors and header atomically.

    Args:
        path: the file to write.
        tensors: name -> tensor, any device; written contiguous, from the CPU.
        kind: the kind of the file, which `load_tensors` checks.
        header: JSON-able description, in addition to `format` and `kind`.
        alone: False if another process may be writing the same file.
    """
    entry = json.dumps({"format": FORMAT, "kind": kind, **header}, sort_keys=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with writing(path, alone=alone) as stream:
        write_safetensors(stream, plain, {ENTRY: entry})


def is_whole(path: Path) -> bool:
    """Whether a safetensors file exists and is as long as its header says; its tensors are not read.

    Raises:
        EnvironmentFault: it exists, but is not readable.
    """
    try:
        with opened(path):
            return True
    except PermissionError as error:
        raise path_error(error, path, access="read") from None
    except (SafetensorError, OSError):
        return False


def kind_of(path: Path) -> str:
    """The kind of a file that `save_tensors` wrote; errors as `read_header`."""
    return str(_header(path).get("kind"))


def read_header(path: Path, *, kind: str) -> dict[str, Any]:
    """The header of a file of the given kind; its length is checked, its tensors are not.

    Raises:
        DataError: missing, truncated, foreign, of another kind, or of a newer format.
    """
    refuse_url(path)
    if not path.is_file():
        raise DataError(
            f"{path} is missing: no {kind} to load.", fix="Pass its file, or the run folder that contains it."
        )
    header = _header(path)
    if header.get("kind") != kind:
        found, fix = header.get("kind"), f"Pass what {WRITTEN_BY[kind]} wrote." if kind in WRITTEN_BY else ""
        raise DataError(f"{path} is of another kind: it has the header of '{found}', not of '{kind}'.", fix=fix)
    return header


def _header(path: Path) -> dict[str, Any]:
    with _reading(path), opened(path) as file:
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
    return header


def load_tensors(path: Path, *, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read (tensors, header) of a file of the given kind; tensors on the CPU.

    Raises:
        DataError: missing, truncated, foreign, of another kind, or of a newer format.
    """
    header = read_header(path, kind=kind)
    with _reading(path), opened(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return tensors, header


def load_kept(path: Path, *, kind: str, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """(tensors, header) of a file that may be replaced; None if it is absent, damaged, or of another "key".

    Raises:
        EnvironmentFault: it exists, but is not readable.
    """
    if not is_whole(path):
        return None
    try:
        tensors, header = load_tensors(path, kind=kind)
    except DataError:
        return None
    return (tensors, header) if header.get("key") == key else None


def load_into(module: torch.nn.Module, tensors: Mapping[str, Tensor], *, path: Path) -> None:
    """Load tensors into a module whose names, shapes and types must agree exactly.

    Raises:
        DataError: a missing or unexpected name, a different shape or dtype, or a non-finite value; the error names it.
            The module is then unchanged.
    """
    own = module.state_dict()
    missing, unexpected = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or unexpected:
        name, problem = (missing[0], "is missing") if missing else (unexpected[0], "is unexpected")
        raise DataError(
            f"{path}: tensor '{name}' {problem} ({len(missing)} missing, {len(unexpected)} unexpected in total)."
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise DataError(
                f"{path}: tensor '{name}' has shape {tuple(tensor.shape)}; expected {tuple(own[name].shape)}."
            )
        if tensor.dtype != own[name].dtype:
            raise DataError(f"{path}: tensor '{name}' is {tensor.dtype}; expected {own[name].dtype}.")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataError(
                f"{path}: tensor '{name}' contains non-finite values.", fix="Train it again, or copy the file again."
            )
    module.load_state_dict(dict(tensors))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn the exceptions of a corrupt safetensors file into a DataError."""
    try:
        yield
    except PermissionError as error:
        raise path_error(error, path, access="read") from None
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is not a valid safetensors file: {error}.",
            fix="It is truncated or has another format; regenerate it.",
        ) from None
