"""The plan: everything that determines the bytes of a pairs folder.

Shard s is a pure function of (plan, s): it holds the pairs `plan.shard_range(s)`, made in inner batches of `batch`
that start anew in every shard. So it does not matter which worker makes a shard, nor how many there are.

There are two plans. `Plan` is of pairs that copgen samples; `ImportedPlan` is of pairs that another program made: it
says where the images came from and nothing of a generator, a seed or a navigator, which nobody knows. What they share,
`Contents`, is all that reading, verifying and training need.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from copgen.pairs import layout
from copgen.pairs.codecs import ImageFormat
from copgen.pairs.documents import SHA256, Document
from copgen.pairs.store import Store, as_store
from copgen.runtime.counts import LARGEST
from copgen.runtime.errors import UsageError
from copgen.storage.files import parse_json

Rounding = Literal["nearest", "truncate256"]  # of a pixel in [-1, 1] to a byte; `copgen.pairs.pixels` does it
Setting = bool | int | float | str | None
Side = Annotated[int, Field(ge=1, le=8192)]  # pixels; below the size at which Pillow suspects a decompression bomb


class GeneratorSource(BaseModel):
    """The generator G: its registered name, its weights, and how it was loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    sha256: str = Field(pattern=SHA256, description="of the weights file")
    settings: dict[str, Setting] = Field(
        default_factory=dict, description="how it was loaded, where that decides the images: truncation, precision, ..."
    )


class PriorSource(BaseModel):
    """The distribution of z."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    settings: dict[str, Setting] = Field(default_factory=dict, description="its numbers")


class TransformSource(BaseModel):
    """The latent transform z -> z': none, gaussian, steering, random, optimal."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    settings: dict[str, Setting] = Field(default_factory=dict)
    sha256: str | None = Field(None, pattern=SHA256, description="of the navigator file, where there is one")


class FilterRules(BaseModel):
    """Which draws become pairs; the others are drawn again (quality_filter.py of `sample`). Inclusive bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_d: float | None = Field(None, ge=0, description="least d(z, z') of every positive")
    max_d: float | None = Field(None, ge=0, description="greatest d(z, z') of every positive")
    min_similarity: float | None = Field(None, ge=-1, le=1, description="least cosine of anchor and every positive")
    max_similarity: float | None = Field(None, ge=-1, le=1, description="greatest cosine of anchor and every positive")
    encoder_sha256: str | None = Field(None, pattern=SHA256, description="of the encoder that the cosine is taken in")
    attempts: int = Field(ge=1, description="draws of one pair before the run gives up")


class ImportSource(BaseModel):
    """The folder of another program that pairs were taken from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Literal["genrep"] = Field(description="whose way of naming files: GenRep's, which the authors kept")
    name: str = Field(description="the folder's own name")
    files: int = Field(ge=2, description="images in it")
    sha256: str = Field(pattern=SHA256, description="of the list of the images' names and sizes")
    roles: tuple[str, ...] | None = Field(
        None, description="how the images' names number the positives; None: neighbor, or from neighbor_0"
    )

    @model_serializer(mode="wrap")
    def _without_usual_roles(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Older plans have no roles, and their hash must stay what it was."""
        values: dict[str, Any] = serialize(self)
        if self.roles is None:
            del values["roles"]
        return values


class Contents(Document):
    """What a pairs folder holds, whatever made it."""

    command: ClassVar[str] = "copgen sample"

    format: Literal[1] = 1
    pairs: int = Field(ge=1, le=LARGEST, description="pairs in the whole folder")
    pairs_per_shard: int = Field(10_000, ge=1, le=LARGEST, description="pairs in every shard but the last")
    positives: int = Field(1, ge=1, le=99, description="positives per anchor")
    image_format: ImageFormat = "png"
    quality: int | None = Field(None, ge=1, le=100, description="of jpg and webp; png has none")
    image_shape: tuple[Literal[1, 3], Side, Side] = Field(description="channels, height, width")
    versions: dict[str, str] = Field(description="versions of what determines the numbers and the images' bytes")

    @model_validator(mode="after")
    def _quality_goes_with_the_format(self) -> Self:
        if (self.quality is None) != (self.image_format == "png"):
            raise ValueError(f"quality {self.quality} does not go with {self.image_format}")
        return self

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.pairs // self.pairs_per_shard)

    def shard_range(self, number: int) -> range:
        """The indices of the pairs in shard `number`."""
        if not 0 <= number < self.shards:
            raise ValueError(f"shard {number} is not in 0..{self.shards - 1}")
        start = number * self.pairs_per_shard
        return range(start, min(start + self.pairs_per_shard, self.pairs))

    @property
    def components(self) -> tuple[str, ...]:
        """The components of one sample, in the order of the tar."""
        return layout.components(self.positives, self.image_format)

    def difference(self, other: Contents) -> list[tuple[str, Any, Any]]:
        """(field, here, there) for each field that differs, nested ones as `prior.settings.scale`; None: not there."""
        here, there = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        return [
            (field, here.get(field), there.get(field))
            for field in sorted(here.keys() | there.keys())
            if here.get(field) != there.get(field)
        ]

    def save(self, folder: Path | Store) -> None:
        """Write `plan.json`; the same plan again changes nothing.

        Raises:
            UsageError: another plan is there; the error gives the difference.
            DataError: what is there is broken.
        """
        store = as_store(folder)
        if store.size(layout.PLAN) is None and store.create(layout.PLAN, self.text().encode()):
            return
        self.check_same(store)

    def check_same(
        self, folder: Path | Store, *, fix: str = "Name another folder with --out, or start anew with --overwrite."
    ) -> None:
        """Refuse a folder that holds another plan.

        Raises:
            UsageError: the difference, field by field, with `fix`.
            DataError: there is none, or it is broken.
        """
        store = as_store(folder)
        there = read_plan(store)
        if there.command != self.command:
            raise UsageError(
                f"{store.where()} holds pairs of `{there.command}`, with which `{self.command}` cannot go on.",
                fix=fix,
            )
        if difference := there.difference(self):
            lines = "; ".join(f"{field} is {there!r}, not {here!r}" for field, there, here in difference)
            raise UsageError(f"{store.where()} holds pairs of another plan: {lines}.", fix=fix)

    @classmethod
    def load(cls, folder: Path | Store) -> Self:
        """Read `plan.json`.

        Raises:
            DataError: missing, not JSON, of a newer format, or with a wrong value.
        """
        store = as_store(folder)
        return cls.parse(store.read(layout.PLAN), store.where(layout.PLAN))


class Plan(Contents):
    """What `copgen sample` writes, before a single pair is made."""

    seed: int = Field(ge=0, description="row k of the run is a function of (seed, k)")
    batch: int = Field(ge=1, description="pairs per forward pass; part of the bytes, as kernels differ by batch shape")
    generator: GeneratorSource
    prior: PriorSource
    transform: TransformSource
    filter: FilterRules | None = Field(None, description="which draws become pairs; None: all")
    rounding: Rounding = Field("nearest", description="how a float in [-1, 1] becomes a byte")
    dtype: Literal["float32"] = "float32"
    device: str = Field(description="kind of device: other kinds give other low bits")
    threads: int | None = Field(None, ge=1, description="of a CPU, for each worker: other numbers give other low bits")

    @property
    def rows_at_once(self) -> int:
        """The most pairs that ever go through the generator at once."""
        return min(self.batch, self.pairs_per_shard, self.pairs)


class ImportedPlan(Contents):
    """What `copgen import` writes: the images of another program, their pixels unchanged, encoded anew."""

    command: ClassVar[str] = "copgen import"

    imported: ImportSource


def read_plan(folder: Path | Store) -> Plan | ImportedPlan:
    """The plan of a folder, of whichever kind it is.

    Raises:
        DataError: missing, not JSON, of a newer format, or with a wrong value.
    """
    store = as_store(folder)
    value = parse_json(store.read(layout.PLAN), store.where(layout.PLAN))
    return ImportedPlan.load(store) if isinstance(value, dict) and "imported" in value else Plan.load(folder)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
