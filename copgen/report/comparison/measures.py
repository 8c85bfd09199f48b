"""The numbers of each evaluation that are compared, by their names in `results.json`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from copgen.report.comparison.reading import Result
from copgen.runtime.errors import DataError


@dataclass(frozen=True)
class Measure:
    """A number.

    Attributes:
        key: dotted names in the document; "*" is each name that is there.
        label: of the column; {} is what the "*" stand for.
        percent: it is a fraction, and shown in percent.
    """

    key: str
    label: str
    percent: bool = True


TOP = (Measure("top1", "Top-1 %"), Measure("top5", "Top-5 %"))
AVERAGE_PRECISION = (("ap", "AP"), ("ap50", "AP50"), ("ap75", "AP75"))
SCORES = (
    *(("fid", "FID"), ("frechet_distance", "Fréchet distance"), ("inception_score", "IS")),
    *(("class_score", "class score"), ("precision", "precision"), ("recall", "recall")),
    *(("density", "density"), ("coverage", "coverage")),
)
MEASURES: dict[str, tuple[Measure, ...]] = {
    "few-shot": (Measure("few_shot.*.top1_mean", "Top-1 %, labels {}"),),
    "finetune": (
        Measure("finetune.*.top1_mean", "Top-1 %, labels {}"),
        Measure("finetune.*.frozen.top1_mean", "frozen Top-1 %, labels {}"),
    ),
    "transfer": (Measure("datasets.*.score", "{} %"), Measure("mean", "mean %")),
    "alignment": (
        Measure("features.alignment", "alignment", percent=False),
        Measure("features.uniformity", "uniformity", percent=False),
        Measure("features.rank_me", "RankMe", percent=False),
        Measure("features.share_of_chance", "InfoNCE, % of chance"),
    ),
    "detect": (
        *(Measure(f"voc07.{key}", f"{label}, VOC07") for key, label in AVERAGE_PRECISION),
        *(Measure(f"coco.{key}", f"{label}, COCO") for key, label in AVERAGE_PRECISION),
    ),
    "generator": tuple(Measure(f"scores.*.*.{key}.mean", f"{label}, {{}}", percent=False) for key, label in SCORES),
    "pairs": (
        Measure("labels.agreement", "label agreement %"),
        Measure("similarity.*.above_null", "more alike than others %, {}"),
        Measure("equal", "equal to the anchor %"),
        Measure("diversity.near_duplicates", "near-duplicates %"),
        Measure("diversity.effective_rank", "effective rank", percent=False),
    ),
}


def measured(result: Result) -> dict[str, tuple[Measure, float]]:
    """The numbers of a result by their full key.

    Raises:
        DataError: none is there.
    """
    found = {}
    for measure in MEASURES.get(result.evaluation, TOP):
        for stars, value in _values(result.document, measure.key.split(".")):
            key = measure.key
            for star in stars:
                key = key.replace("*", star, 1)
            found[key] = Measure(key, measure.label.replace("{}", ", ".join(stars)), measure.percent), value
    if not found:
        raise DataError(f"{result.path} has no number that can be compared.", fix="Run its evaluation again.")
    return found


def _values(tree: Any, names: list[str], stars: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """(what each "*" stands for, number) of each number that the names lead to."""
    if not names:
        if isinstance(tree, int | float) and not isinstance(tree, bool) and math.isfinite(tree):
            yield stars, float(tree)
        return
    if not isinstance(tree, Mapping):
        return
    if names[0] == "*":
        for name, below in sorted(tree.items(), key=_in_order):
            yield from _values(below, names[1:], (*stars, name))
    elif names[0] in tree:
        yield from _values(tree[names[0]], names[1:], stars)


def _in_order(item: tuple[str, Any]) -> tuple[float, str]:
    """Numbers and percentages by their size, which JSON keeps as text."""
    digits = item[0].removesuffix("%")
    return (float(digits) if digits.isdigit() else math.inf), item[0]
