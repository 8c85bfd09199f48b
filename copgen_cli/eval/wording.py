"""How results of an evaluation are worded."""

from __future__ import annotations

from copgen_cli.console import Row

WEAKEST = 3  # classes that are named


def accuracies(top1: float, top5: float | None) -> str:
    """Top-1, and Top-5 if there are enough classes."""
    return f"{100 * top1:5.1f} % Top-1" + ("" if top5 is None else f", {100 * top5:.1f} % Top-5")


def labels_of(labels: str) -> str:
    """'5 labels per class', '1% of the labels'."""
    if labels.endswith("%"):
        return f"{labels} of the labels"
    return f"{labels} {'label' if labels == '1' else 'labels'} per class"


def weakest(per_class: dict[str, float | None]) -> Row:
    """The classes with the lowest accuracy."""
    known = sorted((value, name) for name, value in per_class.items() if value is not None)
    listed = ", ".join(f"{name} {100 * value:.1f} %" for value, name in known[:WEAKEST])
    return "weakest classes", listed
