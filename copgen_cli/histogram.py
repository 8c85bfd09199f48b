"""Bars in the terminal: one row for each bin, as long as its share of the largest."""

from __future__ import annotations

from collections.abc import Sequence

from copgen_cli.console import Row

WIDTH = 40  # characters of the longest bar
EIGHTHS = " ▏▎▍▌▋▊▉█"


def bars(labels: Sequence[str], counts: Sequence[int]) -> list[Row]:
    """Rows without a name: label, bar, count; bars have steps of an eighth of a character."""
    most = max(counts, default=0)
    width = max(map(len, labels), default=0)
    return [
        ("", f"{label:>{width}} {_bar(count, most)} {count:,}") for label, count in zip(labels, counts, strict=True)
    ]


def _bar(count: int, most: int) -> str:
    eighths = round(8 * WIDTH * count / most) if most else 0
    eighths = max(eighths, 1) if count else 0  # what is there shows
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
