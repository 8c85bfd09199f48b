"""Weights files: what was published, what copgen makes of it, and how either is opened.

A family's `convert` turns published files into `Converted`: the tensors that its network loads, and the header that
describes them. `copgen generator import` writes that as safetensors of kind 'generator'; loading a published file goes
the same way without writing. So both give the same network, and both are known by the sha256 of the published file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from copgen.runtime.errors import DataError
from copgen.runtime.foreign import read_foreign
from copgen.runtime.tensors import load_tensors

Parameters = Literal["ema", "raw"]


@dataclass(frozen=True)
class Sources:
    """The published files of one generator.

    Attributes:
        weights: the weights file, or the folder that holds it (and its configuration, where it has one).
        instances: the stored instances of an IC-GAN; None looks for them beside the weights.
        parameters: for the flow, whose checkpoint holds both: the moving average (which its authors sample with), or
            the raw parameters.
    """

    weights: Path
    instances: Path | None = None
    parameters: Parameters = "ema"


@dataclass(frozen=True)
class Converted:
    """What a weights file says, checked: every key is there and no other, shapes agree, values are finite.

    Attributes:
        tensors: name -> tensor, on the CPU; the public names, spectral-norm vectors included, not yet folded.
        header: JSON-able; `family`, `name` (the registry's), `config` (of the family), `prior`, `sources` (file name ->
            sha256), `source_sha256` (of the weights among them), `licence` (of the weights).
    """

    tensors: dict[str, Tensor]
    header: dict[str, Any]


Convert = Callable[[Sources], Converted]


def read_state(path: Path) -> Any:
    """What a published checkpoint holds: dictionaries, lists, numbers and tensors, on the CPU; nothing is executed.

    `copgen.runtime.foreign` says what stands in for objects of other classes.

    Raises:
        DataError: missing, truncated, or no checkpoint at all.
    """
    return read_foreign(path)


def is_converted(path: Path) -> bool:
    """Whether a file is a safetensors file: an eight-byte length, then a JSON object."""
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        return stream.read(9)[8:] == b"{"


def open_checkpoint(sources: Sources, *, family: str, convert: Convert) -> Converted:
    """The content of a weights file of `family`, published or converted.

    Raises:
        DataError: missing, truncated, foreign, or of another family.
    """
    if not is_converted(sources.weights):
        return convert(sources)
    tensors, header = load_tensors(sources.weights, kind="generator")
    if header.get("family") != family:
        raise DataError(
            f"{sources.weights} holds a generator of family '{header.get('family')}', not '{family}'.",
            fix=f"It is for the generator '{header.get('name', header.get('family'))}'.",
        )
    return Converted(tensors, header)
