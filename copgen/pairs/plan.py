"""The plan: everything that determines the bytes of a pairs folder.

Shard s is a pure function of (plan, s): it holds the pairs `plan.shard_range(s)`, generated in inner batches of `batch`
that restart in every shard. So it does not depend on which worker writes it, or on the number of workers.

There are two kinds. `Plan` is for pairs that copgen samples; `ImportedPlan` is for pairs of another program: it records
where the images came from, but no generator, seed or navigator, which are unknown. Their common base, `Contents`, is
all that reading, verifying and training need.
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

Rounding = Literal["nearest", "truncate256"]  # of a pixel in [-1, 1] to uint8; see `copgen.pairs.pixels`
Setting = bool | int | float | str | None
Side = Annotated[int, Field(ge=1, le=8192)]  # pixels; below the size at which Pillow suspects a decompression bomb


class GeneratorSource(BaseModel):
    """The generator G: its registered name, its weights, and how it was loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    sha256: str = Field(pattern=SHA256, description="of the weights file")
    settings: dict[str, Setting] = Field(
        default_factory=dict, description="the options that change its images: truncation, precision, ..."
    )


class PriorSource(BaseModel):
    """The distribution of z."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    settings: dict[str, Setting] = Field(default_factory=dict, description="its parameters")


class TransformSource(BaseModel):
    """The latent transform z -> z': none, gaussian, steering, random, optimal."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    settings: dict[str, Setting] = Field(default_factory=dict)
    sha256: str | None = Field(None, pattern=SHA256, description="of the navigator file, if any")


class FilterRules(BaseModel):
    """Which draws become pairs; the others are redrawn (quality_filter.py of `sample`). Bounds are inclusive."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_d: float | None = Field(None, ge=0, description="minimum d(z, z') of every positive")
    max_d: float | None = Field(None, ge=0, description="maximum d(z, z') of every positive")
    min_similarity: float | None = Field(None, ge=-1, le=1, description="minimum cosine of anchor and every positive")
    max_similarity: float | None = Field(None, ge=-1, le=1, description="maximum cosine of anchor and every positive")
    encoder_sha256: str | None = Field(None, pattern=SHA256, description="of the encoder of the cosine")
    attempts: int = Field(ge=1, description="maximum number of draws of one pair")


class ImportSource(BaseModel):
    """The folder of another program from which pairs were imported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Literal["genrep"] = Field(description="the naming scheme of its files: that of GenRep and the authors")
    name: str = Field(description="the name of the folder")
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
    """The content of a pairs folder, whatever its source."""

    command: ClassVar[str] = "copgen sample"

    format: Literal[1] = 1
    pairs: int = Field(ge=1, le=LARGEST, description="pairs in the whole folder")
    pairs_per_shard: int = Field(10_000, ge=1, le=LARGEST, description="pairs in every shard but the last")
    positives: int = Field(1, ge=1, le=99, description="positives per anchor")
    image_format: ImageFormat = "png"
    quality: int | None = Field(None, ge=1, le=100, description="of jpg and webp; None for png")
    image_shape: tuple[Literal[1, 3], Side, Side] = Field(description="channels, height, width")
    versions: dict[str, str] = Field(description="versions of the libraries that determine the bytes")

    @model_validator(mode="after")
    def _quality_goes_with_the_format(self) -> Self:
        if (self.quality is None) != (self.image_format == "png"):
            raise ValueError(f"quality {self.quality} is invalid for {self.image_format}")
        return self

    @property
    def shards(self) -> int:
        """Number of shards."""
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
        """(field, here, there) for each field that differs, nested ones as `prior.settings.scale`; None: missing."""
        here, there = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        return [
            (field, here.get(field), there.get(field))
            for field in sorted(here.keys() | there.keys())
            if here.get(field) != there.get(field)
        ]

    def save(self, folder: Path | Store) -> None:
        """Write `plan.json`; does nothing if it holds the same plan.

        Raises:
            UsageError: it holds another plan; the error lists the differences.
            DataError: it is invalid.
        """
        store = as_store(folder)
        if store.size(layout.PLAN) is None and store.create(layout.PLAN, self.text().encode()):
            return
        self.check_same(store)

    def check_same(
        self,
        folder: Path | Store,
        *,
        fix: str = "Choose another folder with --out, or pass --overwrite to start from scratch.",
    ) -> None:
        """Refuse a folder that holds another plan.

        Raises:
            UsageError: with the differences, field by field, and `fix`.
            DataError: the plan is missing or invalid.
        """
        store = as_store(folder)
        there = read_plan(store)
        if there.command != self.command:
            raise UsageError(
                f"{store.where()} holds pairs of `{there.command}`, which `{self.command}` cannot resume.",
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
    """The plan that `copgen sample` writes before it generates a pair."""

    seed: int = Field(ge=0, description="row k of the run is a function of (seed, k)")
    batch: int = Field(
        ge=1, description="pairs per forward pass; affects the bytes, as kernels depend on the batch size"
    )
    generator: GeneratorSource
    prior: PriorSource
    transform: TransformSource
    filter: FilterRules | None = Field(None, description="which draws become pairs; None: all")
    rounding: Rounding = Field("nearest", description="how a float in [-1, 1] is rounded to uint8")
    dtype: Literal["float32"] = "float32"
    device: str = Field(description="kind of device; it affects the low bits")
    threads: int | None = Field(None, ge=1, description="CPU threads of each worker; they affect the low bits")

    @property
    def rows_at_once(self) -> int:
        """The largest number of pairs in one forward pass of the generator."""
        return min(self.batch, self.pairs_per_shard, self.pairs)


class ImportedPlan(Contents):
    """The plan that `copgen import` writes: images of another program, with unchanged pixels, encoded again."""

    command: ClassVar[str] = "copgen import"

    imported: ImportSource


def read_plan(folder: Path | Store) -> Plan | ImportedPlan:
    """The plan of a folder, of either kind.

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
