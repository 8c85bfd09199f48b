"""How results of an evaluation are worded."""

from __future__ import annotations

from typing import Any

from copgen_cli.console import Row

TOP1, TOP5 = "Top-1 %", "Top-5 %"
WEAKEST = 3  # classes that are named


def percent(value: float | None) -> str:
    """'90.2'; empty without a value."""
    return "" if value is None else f"{100 * value:.1f}"


def tested_on(results: dict[str, Any], images: int) -> str:
    """'digits, 368 test images'."""
    return f"{results['dataset']['name']}, {images:,} test images"


def by_number(table: dict[str, Any]) -> list[tuple[str, Any]]:
    """The items of a table by the numbers of its keys, such as '5' or '10%', which a file has as text."""
    return sorted(table.items(), key=lambda item: int(item[0].removesuffix("%")))


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
