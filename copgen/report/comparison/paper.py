"""The paper's own numbers (`paper.toml`), for results whose settings correspond to a row of its tables."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from copgen.report.comparison.method import Method
from copgen.report.comparison.reading import Result

MATCH = ("evaluation", "dataset", "learner", "source", "T_z", "T_x")
HOW = {
    "arch": "encoder",
    "epochs": "epochs",
    "updates": "updates of the detector",
    "backbone": "backbone",
    "selected_on": "selected on",
}


@dataclass(frozen=True)
class PaperValue:
    """A number of the paper.

    Attributes:
        table: its number.
        value, std: in the unit of the paper; std is None where it has none.
        differs: how the paper got it, where that is another way than the result's: 'encoder resnet50, not digits'.
    """

    table: int
    value: float
    std: float | None
    differs: tuple[str, ...]


def paper_value(result: Result, method: Method, measure: str) -> PaperValue | None:
    """The paper's number for a result and one of its measures; of several rows the one that differs least."""
    told = facts(result, method)
    found = []
    for number, row in _rows():
        if measure not in row or any(row[name] != told[name] for name in MATCH if name in row):
            continue
        mean, std = row[measure] if isinstance(row[measure], list) else (row[measure], None)
        differs = [
            f"{shown} {row[name]}, not {_number(told[name])}"
            for name, shown in HOW.items()
            if name in row and told[name] != row[name]
        ]
        found.append(PaperValue(number, mean, std, tuple(differs)))
    return min(found, key=lambda value: len(value.differs), default=None)


def facts(result: Result, method: Method) -> dict[str, Any]:
    """What of a result is compared with a row."""
    return {
        "evaluation": result.evaluation,
        "dataset": result.table("dataset").get("name", ""),
        "learner": method.learner,
        "source": method.source or result.table("generated", "generator").get("name", ""),
        # GenRep's Gaussian is truncated, which has a name of its own here.
        "T_z": method.T_z.partition(" ")[0].removesuffix("-truncated"),
        "T_x": method.T_x,
        "arch": method.arch,
        "epochs": None if method.epochs is None else round(method.epochs, 1),
        "updates": result.table("protocol").get("updates"),
        "backbone": result.table("protocol").get("backbone"),
        "selected_on": result.document.get("selected_on"),
    }


@cache
def _rows() -> tuple[tuple[int, Mapping[str, Any]], ...]:
    text = resources.files("copgen.report.comparison").joinpath("paper.toml").read_text("utf-8")
    tables = tomllib.loads(text)["table"]
    return tuple((table["number"], {**table["of"], **row}) for table in tables for row in table["rows"])


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "unknown" if value in (None, "") else str(value)
