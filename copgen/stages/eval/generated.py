"""The generated images of an evaluation: of a generator, made as they are needed, or of a pairs folder.

Image k of a generator is the one that `copgen sample` writes for the same seed, rounded to 8 bits: its scores are those
of a folder of pairs. Imported pairs come class by class, and scores of a part of them would be those of some classes:
they are taken in a random order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from copgen import generators
from copgen.data.batches import batches
from copgen.data.pairs import open_generated as open_pairs
from copgen.data.pairs_folder import PairsFolder
from copgen.data.source import DecodedImages, EncodedImages
from copgen.evaluation.generation.scoring import FEWEST
from copgen.evaluation.spaces import FeatureSpace
from copgen.pairs import ImportedPlan, Plan
from copgen.pairs.verification import load_plan
from copgen.runtime import philox
from copgen.runtime.errors import UsageError
from copgen.runtime.settings import resolve
from copgen.stages.eval.provenance import WEIGHTS_OF
from copgen.stages.eval.settings.generator import PUBLISHED, EvalGeneratorSettings
from copgen.stages.pretrain.online import OnlinePairs
from copgen.stages.sample.settings import SampleSettings

ANCHORS, POSITIVES = "anchors", "positives"
COLUMNS = {ANCHORS: 0, POSITIVES: 1}  # of a pair; of several positives the first
UNRELATED = {"pairs", "pairs_per_shard", "image_format", "quality", "positives", "filter"}  # of a plan, to an image


@dataclass(frozen=True)
class Generated:
    """Generated images.

    Attributes:
        settings: of the evaluation.
        source: pairs, of which column 0 is the anchor.
        plan: what determines them.
        side: pixels.
        count: images of each draw.
        device: where images are made.
    """

    settings: EvalGeneratorSettings
    source: EncodedImages | DecodedImages
    plan: Plan | ImportedPlan
    side: int
    count: int
    device: torch.device

    @property
    def draws(self) -> list[range]:
        """The rows of each draw: consecutive, and disjoint."""
        return [range(number * self.count, (number + 1) * self.count) for number in range(self.settings.draws)]

    @property
    def sets(self) -> list[str]:
        """Which images are scored."""
        return [ANCHORS, POSITIVES] if self.settings.images == "both" else [self.settings.images]

    @cached_property
    def order(self) -> Tensor:
        """The pair (N,) of each row."""
        if isinstance(self.plan, ImportedPlan):
            return philox.permutation(0, self.plan.pairs, stream="eval/imported-pairs")
        return torch.arange(len(self.source))

    def batches(self, name: str, rows: range) -> Iterator[Tensor]:
        """Batches (K, C, side, side) in [-1, 1] of the anchors or positives of these rows."""
        settings = self.settings
        return batches(
            self.source,
            items=self.order[rows.start : rows.stop],
            column=COLUMNS[name],
            batch=settings.batch,
            device=self.device,
            workers=settings.workers,
        )

    def key(self, name: str) -> dict[str, Any]:
        """What determines the images of a set, and their order."""
        if self.settings.pairs is not None:
            order = {"order": "random"} if isinstance(self.plan, ImportedPlan) else {}
            return {"pairs": self.plan.digest, "images": name, **order}
        other = UNRELATED | ({"transform"} if name == ANCHORS else set())
        return {"plan": self.plan.model_dump(mode="json", exclude=other), "images": name}

    def document(self) -> dict[str, Any]:
        """For `results.json`: what was generated, and by what."""
        of_folder = self.settings.pairs is not None
        made_by = {"generator", "prior", "imported"} | ({"transform"} if of_folder or POSITIVES in self.sets else set())
        document = {**self.plan.model_dump(mode="json", include=made_by), "images": list(self.plan.image_shape)}
        if of_folder:
            document |= {
                "pairs": str(self.settings.pairs),
                "plan": self.plan.digest,
                "pairs_in_folder": len(self.source),
            }
        return document

    def provenance(self) -> dict[str, str]:
        """sha256 by name: the pairs (their plan), the navigator or walk of positives, and the generator."""
        made_by = self.document()
        transform = made_by.get("transform", {})
        kind = WEIGHTS_OF.get(str(transform.get("name")), "navigator")
        found = {
            "pairs": made_by.get("plan"),
            kind: transform.get("sha256"),
            "generator": made_by.get("generator", {}).get("sha256"),
        }
        return {name: value for name, value in found.items() if value is not None}

    def unverified(self) -> str:
        """What of a large pairs folder was not hashed, as a sentence; a damaged shard raises DataError."""
        return self.source.unverified() if isinstance(self.source, PairsFolder) else ""


def open_generated(settings: EvalGeneratorSettings, device: torch.device) -> Generated:
    """Open the images of a generator or of a pairs folder.

    Raises:
        UsageError: an unknown generator, a navigator of another one, more or fewer images than there can be.
        DataError: weights, a navigator or a pairs folder are missing or fail verification.
    """
    if settings.pairs is not None:
        plan: Plan | ImportedPlan = load_plan(settings.pairs)
        count = plan.pairs // settings.draws if settings.n is None else settings.n
        _check_count(count, settings, of=plan.pairs)
        source: EncodedImages | DecodedImages = open_pairs(settings.pairs, seed=settings.seed)
    else:
        count = settings.n or PUBLISHED
        _check_count(count, settings)
        source = OnlinePairs(sampled(settings, count * settings.draws), device, rounded=True)
        plan = source.plan
    height, width = plan.image_shape[1:]
    if height != width:
        raise UsageError(
            f"The images of {settings.pairs} have {width} x {height} pixels.", fix="Scores need square images."
        )
    return Generated(settings, source, plan, height, count, device)


def sampled(settings: EvalGeneratorSettings, count: int) -> SampleSettings:
    """What `copgen sample` would be told to write these images."""
    assert settings.generator is not None
    names = ("generator", "weights", "truncation_scale", "navigator", "walk", "std", "seed", "device", "batch")
    given = {name: value for name in names if (value := getattr(settings, name)) is not None}
    given["transform"] = "none" if settings.images == ANCHORS else settings.transform
    recipe = generators.entry(settings.generator).recipe
    return resolve(SampleSettings, "sample", recipe=recipe, flags={**given, "n": count})


def _check_count(count: int, settings: EvalGeneratorSettings, *, of: int | None = None) -> None:
    """Refuse draws that are too small, or that a folder does not hold."""
    if of is not None and count * settings.draws > of:
        raise UsageError(
            f"{settings.draws} draws of {count:,} images were asked for; {settings.pairs} has {of:,} pairs.",
            fix=f"Pass --n {of // settings.draws} or less.",
        )
    if count < FEWEST:
        raise UsageError(
            f"Scores of {count} images say nothing.",
            fix=f"Take at least {FEWEST} images for each draw; published: 50k.",
        )


def digest(key: dict[str, Any]) -> str:
    """A hash of what determines features."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def identity(space: FeatureSpace, device: torch.device) -> dict[str, Any]:
    """What determines features of given images."""
    kind = space.name.partition(":")[0]
    weights = sorted(space.inputs.values())
    return {"space": kind, "dim": space.dim, "weights": weights, "device": device.type, "torch": str(torch.__version__)}
