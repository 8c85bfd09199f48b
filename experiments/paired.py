"""Rows of a table compared with one of them, seed by seed.

A seed decides the pairs, the order of the images and the start of the encoder in every row, so differences of one seed
vary less than the rows themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from copgen.evaluation.few_labels import interval

FEW_LABELS = ("1", "5", "10")
Figures = Sequence[Mapping[str, Any]]


def measured(figures: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of one run that are compared. A real image has one image as anchor and positive, and its label."""
    few = {f"{labels} label{'s' if labels != '1' else ''}": figures["few_labels"][labels] for labels in FEW_LABELS}
    return {"Top-1": figures["top1"], **few, "label kept": figures.get("kept_share", 1.0)}


def differences(rows: Mapping[str, Figures], base: str) -> str:
    """Markdown: the mean difference of every other row to `base`, in points, with its 95 % interval (Student's t).

    Args:
        rows: by name, the figures of the same seeds, at least two.
        base: the name of the row that the others are compared with.
    """
    compared = [measured(one) for one in rows[base]]
    names = [name for name in compared[0] if name != "label kept"]
    lines = [f"| minus {base} | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for title, figures in rows.items():
        if title == base:
            continue
        if [one["seed"] for one in figures] != [one["seed"] for one in rows[base]]:
            raise ValueError(f"The seeds of '{title}' are not those of '{base}'.")
        cells = []
        for name in names:
            pairs = zip(figures, compared, strict=True)
            values = [100 * (measured(one)[name] - other[name]) for one, other in pairs]
            cells.append(f"{mean(values):+.1f} ± {interval(values):.1f}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
