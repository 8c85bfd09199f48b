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
        key: dotted names in the document; one may be "*", for each name that is there.
        label: of the column; {} is what "*" stands for.
        percent: it is a fraction, and shown in percent.
    """

    key: str
    label: str
    percent: bool = True


TOP = (Measure("top1", "Top-1 %"), Measure("top5", "Top-5 %"))
MEASURES: dict[str, tuple[Measure, ...]] = {
    "few-shot": (Measure("few_shot.*.top1_mean", "Top-1 %, labels {}"),),
}


def measured(result: Result) -> dict[str, tuple[Measure, float]]:
    """The numbers of a result by their full key.

    Raises:
        DataError: none is there.
    """
    found = {}
    for measure in MEASURES.get(result.evaluation, TOP):
        for star, value in _values(result.document, measure.key.split(".")):
            key = measure.key.replace("*", star)
            found[key] = Measure(key, measure.label.replace("{}", star), measure.percent), value
    if not found:
        raise DataError(f"{result.path} has no number that can be compared.", fix="Its evaluation did not finish.")
    return found


def _values(tree: Any, names: list[str], star: str = "") -> Iterator[tuple[str, float]]:
    """(what "*" stands for, number) of each number that the names lead to."""
    if not names:
        if isinstance(tree, int | float) and not isinstance(tree, bool) and math.isfinite(tree):
            yield star, float(tree)
        return
    if not isinstance(tree, Mapping):
        return
    if names[0] == "*":
        for name, below in sorted(tree.items(), key=_in_order):
            yield from _values(below, names[1:], name)
    elif names[0] in tree:
        yield from _values(tree[names[0]], names[1:], star)


def _in_order(item: tuple[str, Any]) -> tuple[float, str]:
    """Numbers and percentages by their size, which JSON keeps as text."""
    digits = item[0].removesuffix("%")
    return (float(digits) if digits.isdigit() else math.inf), item[0]
