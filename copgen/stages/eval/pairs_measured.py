"""The sample of `eval pairs`, measured batch by batch; what is done is kept on disk, so that it resumes after a kill.

Legend: N pairs of the sample, K pairs of a batch, D feature dimension, M measures of similarity.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from copgen.data.pairs_sample import Metadata, PairsSample, SampledPairs
from copgen.evaluation.pairs_health.diversity import Diversity, diversity
from copgen.evaluation.pairs_health.measuring import BatchOfPairs, Measured, measured
from copgen.evaluation.parts import Parts
from copgen.pairs.pixels import from_uint8
from copgen.runtime.errors import DataError
from copgen.runtime.events import Events
from copgen.stages.eval.pairs_opening import Instruments
from copgen.stages.eval.settings.pairs import EvalPairsSettings

MOST_BYTES = 32 * 2**20  # of the anchors of a batch, as float32
UNKNOWN = -1  # label, without a classifier
FREE = {"pairs", "out", "rows", "thresholds", "data_root", "workers", "cache"}  # settings that change no measurement


@dataclass(frozen=True, eq=False)
class Found:
    """What was measured of the N pairs, in the order of the sample.

    Attributes:
        similarities: each measure with its values; the first is the main one.
        labels: (N,) of anchors and of positives under the classifier; None without one.
        d: (N,) distance of their latents; NaN where it is not recorded.
        classes: in the metadata; None where there is none.
        equal, repeated: (N,) bool: the positive equals its anchor; two positives of the anchor are equal.
        anchors: how much they differ.
    """

    similarities: list[Measured]
    labels: tuple[Tensor, Tensor] | None
    d: Tensor
    classes: list[str | None]
    equal: Tensor
    repeated: Tensor
    anchors: Diversity


class Rows:
    """What is measured of each pair, as a row of one tensor (N, D + 2 M + 4) float32, which is kept in parts.

    Attributes:
        features: (N, D) of anchors.
        pairs, null: (N, M) similarities, and their null levels; the first pair has none.
        labels: (N, 2) of anchor and positive.
        equal, repeated: (N,) 0 or 1; as in `Found`.
    """

    def __init__(self, count: int, dim: int, measures: int) -> None:
        self.table = torch.zeros(count, dim + 2 * measures + 4)
        sizes = [dim, measures, measures, 2, 1, 1]
        self.features, self.pairs, self.null, self.labels, equal, repeated = torch.split(self.table, sizes, dim=1)
        self.equal, self.repeated = equal[:, 0], repeated[:, 0]

    def set(
        self, first: int, some: SampledPairs, images: BatchOfPairs, similarities: list[Measured], tools: Instruments
    ) -> None:
        """Set the rows of a batch, after its similarities were added to those before."""
        end = first + len(some.metadata)
        self.features[first:end] = images.features(tools.space)[0].cpu()
        for column, one in enumerate(similarities):
            self.pairs[first:end, column] = one.pairs[first:end]
            self.null[max(first, 1) : end, column] = one.null[max(first - 1, 0) : end - 1]
        labels = (torch.tensor(UNKNOWN),) * 2 if tools.judge is None else tools.judge.labels(images)
        for column, side in enumerate(labels):
            self.labels[first:end, column] = side.float()
        self.equal[first:end] = (some.anchors == some.positives).flatten(1).all(dim=1).float()
        self.repeated[first:end] = some.repeated.float()


@torch.no_grad()
def measure(
    settings: EvalPairsSettings, sample: PairsSample, tools: Instruments, *, parts: Path, events: Events
) -> Found:
    """Measure all pairs of the sample, batch by batch.

    Args:
        settings: of the evaluation.
        sample: the pairs.
        tools: what they are measured with.
        parts: the folder where finished rows are kept; the caller removes it.
        events: receives the progress.

    Raises:
        DataError: a shard or an image is damaged, or a measure is not finite.
    """
    similarities = measured(tools.similarities)
    batch = max(2, min(settings.batch, MOST_BYTES // (4 * math.prod(sample.plan.image_shape))))
    rows = Rows(len(sample), tools.space.dim, len(similarities))
    kept = Parts(parts / "rows", key(settings, sample, tools, batch))
    # The last batch of those that are there is measured again: the null level of the next one needs its positives.
    first = max(0, kept.resume(rows.table) - 1) // batch * batch
    if first:
        events.say(f"Resuming after {first:,} of {len(sample):,} pairs.")
    for column, one in enumerate(similarities):
        one.restore(rows.pairs[:first, column], rows.null[1 : first + 1, column])
    metadata = sample.metadata(range(first), workers=settings.workers)
    events.begin("eval pairs", total=len(sample), unit="pairs", done=first)
    try:
        for some in sample.batches(batch, first=first, workers=settings.workers):
            images = BatchOfPairs(*(from_uint8(side.to(tools.device)) for side in (some.anchors, some.positives)))
            for one in similarities:
                one.add(images)
            rows.set(len(metadata), some, images, similarities, tools)
            metadata += some.metadata
            kept.reached(rows.table, len(metadata))
            events.advance(len(metadata), {})
    finally:
        events.end()
    check_finite(tools, similarities, rows.features)
    distances = [d_of(known, int(k)) for known, k in zip(metadata, sample.chosen, strict=True)]
    anchors, positives = rows.labels.long().unbind(dim=1)
    return Found(
        similarities,
        None if tools.judge is None else (anchors, positives),
        torch.tensor(distances, dtype=torch.float64),
        [class_of(known) for known in metadata],
        rows.equal.bool(),
        rows.repeated.bool(),
        diversity(rows.features, duplicate=settings.thresholds.duplicate_distance),
    )


def key(settings: EvalPairsSettings, sample: PairsSample, tools: Instruments, batch: int) -> str:
    """A hash of everything that determines the rows."""
    decides = {
        "settings": settings.model_dump(mode="json", exclude=FREE),
        "plan": sample.plan.digest,
        "similarities": [one.inputs for one in tools.similarities],
        "space": tools.space.inputs,
        "judge": None if tools.judge is None else (tools.judge.text, tools.judge.inputs),
        "device": tools.device.type,
        "torch": str(torch.__version__),
        "batch": batch,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def check_finite(tools: Instruments, similarities: list[Measured], features: Tensor) -> None:
    """Refuse features that are not numbers, such as those of a diverged encoder (DataError)."""
    values = {tools.space.name: [features], **{one.similarity.name: [one.pairs, one.null] for one in similarities}}
    for name, parts in values.items():
        if not all(bool(part.isfinite().all()) for part in parts):
            raise DataError(
                f"'{name}' gives values that are not finite.", fix="If it is an encoder, its training diverged."
            )


def d_of(metadata: Metadata, chosen: int) -> float:
    """d(z, z') of a positive of a pair; NaN if it is not recorded."""
    several = metadata.get("d_positives")
    value = several[chosen] if isinstance(several, list) and chosen < len(several) else metadata.get("d")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def class_of(metadata: Metadata) -> str | None:
    """The class or instance of a pair in its metadata."""
    known = next((metadata[kind] for kind in ("class", "instance") if metadata.get(kind) is not None), None)
    return str(known) if isinstance(known, int | str) and not isinstance(known, bool) else None
