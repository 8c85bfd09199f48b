"""Generators by their file: a weights file or its run folder in place of a name and `--weights`.

A path has a slash or ends with .safetensors, so that a folder in the current one is given as ./NAME.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copgen.runtime.errors import DataError, UsageError

FILE_NAME = "generator.safetensors"  # in the run folder of `copgen generator fit`
_OF_FAMILY = {"residual-flow": "digits"}  # files without a name


def is_path(generator: str) -> bool:
    """Whether this is a path and not a name."""
    return "/" in generator or generator.endswith(".safetensors")


def _file_of(path: str) -> Path:
    folder = Path(path)
    return folder / FILE_NAME if folder.is_dir() or not folder.suffix else folder


def is_generator(path: str) -> bool:
    """Whether this is a path, and a file of copgen's generators or a run folder with one is there.

    Raises:
        DataError: a file that is truncated, or not one of copgen's.
    """
    from copgen.storage.tensors import kind_of

    return is_path(path) and (file := _file_of(path)).is_file() and kind_of(file) == "generator"


def named(path: str) -> tuple[str, Path]:
    """The name of the generator in a file or run folder, and the file.

    Raises:
        UsageError: there is no such file.
        DataError: truncated, not one of copgen's generators, or without a name.
    """
    from copgen.storage.tensors import read_header  # settings are read without torch

    file = _file_of(path)
    if not file.is_file():
        raise UsageError(
            f"There is no generator '{path}': {file} is missing.",
            fix="Pass a weights file, the run folder of copgen generator fit, or a name such as digits.",
        )
    header = read_header(file, kind="generator")
    name = header.get("name", _OF_FAMILY.get(str(header.get("family"))))
    if not isinstance(name, str) or is_path(name):
        raise DataError(f"{file} does not say which generator it holds.", fix="Pass its name, and the file as weights.")
    return name, file


def with_weights(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which a path as `generator` is replaced by `generator` and `weights`.

    Raises:
        UsageError: there are weights, too.
        DataError: as `named`.
    """
    generator = given.get("generator")
    if not isinstance(generator, str) or not is_path(generator):
        return dict(given)
    if given.get("weights") is not None:
        raise UsageError(
            f"The generator {generator} is a file with weights, but other weights were given: {given['weights']}.",
            fix="Pass only one of them.",
        )
    name, file = named(generator)
    return {**given, "generator": name, "weights": file}
