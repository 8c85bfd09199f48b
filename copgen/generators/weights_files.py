"""Weights files: published or converted, and how either is opened.

A family's `convert` turns published files into `Converted`: the tensors that its network loads, and a header that
describes them. `copgen generator import` writes that as safetensors of kind 'generator'; loading a published file
converts it in memory. So both give the same network, and both are identified by the sha256 of the published file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from copgen.generators.state_dict_layout import Shapes, check
from copgen.latents.prior import Prior
from copgen.runtime.errors import DataError
from copgen.storage.files import sha256_of
from copgen.storage.foreign import read_foreign
from copgen.storage.safetensors_file import opened
from copgen.storage.tensors import ENTRY, load_tensors

Parameters = Literal["ema", "raw"]
ConfigT = TypeVar("ConfigT", bound=BaseModel)


@dataclass(frozen=True)
class Sources:
    """The published files of one generator.

    Attributes:
        weights: the weights file, or the folder that holds it (and its configuration, if any).
        instances: the stored instances of an IC-GAN; None: look for them in the folder of the weights.
        parameters: of the flow, whose checkpoint holds both: the moving average (with which its authors sample), or
            the raw parameters; None: the average.
    """

    weights: Path
    instances: Path | None = None
    parameters: Parameters | None = None


@dataclass(frozen=True)
class Converted:
    """The checked content of a weights file: all keys and no others, with the right shapes and finite values.

    Attributes:
        tensors: name -> tensor, on the CPU; the public names, spectral-norm vectors included, not yet folded.
        header: JSON-able; `family`, `name` (the registry's), `config` (of the family), `prior`, `sources` (file name ->
            sha256), `source_sha256` (of the weights among them), `licence` (of the weights).
    """

    tensors: dict[str, Tensor]
    header: dict[str, Any]


Convert = Callable[[Sources], Converted]


def read_state(path: Path) -> Any:
    """The content of a published checkpoint: dictionaries, lists, numbers and tensors, on the CPU; nothing is executed.

    Raises:
        DataError: missing, truncated, or not a checkpoint.
    """
    return read_foreign(path)


def is_converted(path: Path) -> bool:
    """Whether a file is one of copgen's: safetensors with its header entry, or damaged so that none can be read."""
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        if stream.read(9)[8:] != b"{":
            return False
    try:
        with opened(path) as file:
            return ENTRY in (file.metadata() or {})
    except SafetensorError:
        return True


@dataclass(frozen=True)
class Family(Generic[ConfigT]):
    """A family of generators: its name in files, its configuration class, and the shapes of its tensors."""

    name: str
    config: type[ConfigT]
    shapes: Callable[[ConfigT], Shapes]

    def converted(
        self,
        tensors: Mapping[str, Tensor],
        config: ConfigT,
        *,
        path: Path,
        ignored: Collection[str] = (),
        header: Mapping[str, Any],
    ) -> Converted:
        """Check tensors, and add family and configuration to their header.

        Raises:
            DataError: the tensors do not match the configuration.
        """
        shapes = self.shapes(config)
        check(tensors, shapes, path=path, ignored=ignored)
        kept = {name: tensors[name] for name in shapes}
        return Converted(kept, {"family": self.name, "config": config.model_dump(mode="json"), **header})

    def open(self, sources: Sources, convert: Convert, *, name: str) -> tuple[Converted, ConfigT]:
        """The content of a weights file for the generator `name`, published or converted, and its configuration.

        Raises:
            DataError: missing, truncated, in another format, of another generator, or with unexpected tensors.
        """
        path = sources.weights
        if not is_converted(path):
            content = convert(sources)
            return content, self.config.model_validate(content.header["config"])
        tensors, header = load_tensors(path, kind="generator")
        if header.get("family") != self.name or header.get("name") != name:
            raise DataError(
                f"{path} holds the generator '{header.get('name')}' of family '{header.get('family')}', "
                f"not '{name}' of family '{self.name}'.",
                fix=f"Load it as '{header.get('name')}'.",
            )
        try:
            config = self.config.model_validate(header.get("config"))
            Prior.model_validate(header.get("prior"))
            Provenance.model_validate(header)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(f"{path}: the header does not describe a {self.name}: {where}: {first['msg']}.") from None
        check(tensors, self.shapes(config), path=path)
        return Converted(tensors, header), config


class Provenance(BaseModel):
    """The provenance in the header of a converted file."""

    model_config = ConfigDict(extra="ignore")

    sources: dict[str, str]
    source_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str


def provenance(files: Sequence[Path], *, name: str, prior: Prior, licence: str) -> dict[str, Any]:
    """The header entries of every converted file; the first of `files` is the one with the weights."""
    sources = {file.name: sha256_of(file) for file in files}
    return {
        "name": name,
        "prior": prior.model_dump(mode="json"),
        "sources": sources,
        "source_sha256": sources[files[0].name],
        "licence": licence,
    }


def single_file(path: Path, *patterns: str, what: str) -> Path:
    """`path` if it is a file, else the one file in the folder that matches the first pattern with a match.

    Raises:
        DataError: no match, or more than one.
    """
    if not path.is_dir():
        return path
    for pattern in patterns:
        found = sorted(path.glob(pattern))
        if len(found) > 1:
            raise DataError(
                f"{path} contains several files that could be the {what}: {', '.join(file.name for file in found)}.",
                fix="Pass one of them.",
            )
        if found:
            return found[0]
    raise DataError(f"{path} contains no {what} ({' or '.join(patterns)}).", fix="Pass its folder, or the file itself.")
