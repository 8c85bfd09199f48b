"""Histograms in the terminal: a bar per bin, relative to the largest."""

from __future__ import annotations

from collections.abc import Sequence

from copgen_cli.console import Row, answers

WIDTH = 40  # characters of the longest bar
EIGHTHS = " ▏▎▍▌▋▊▉█"


def bars(labels: Sequence[str], counts: Sequence[int]) -> list[Row]:
    """Rows of label, bar and count; bars in eighths of a character, or in whole ones without Unicode."""
    draw = _bar if answers().encoding.startswith("utf") else _plain_bar
    most = max(counts, default=0)
    width = max(map(len, labels), default=0)
    return [
        ("", f"{label:>{width}} {draw(count, most)} {count:,}") for label, count in zip(labels, counts, strict=True)
    ]


def _bar(count: int, most: int) -> str:
    eighths = round(8 * WIDTH * count / most) if most else 0
    eighths = max(eighths, 1) if count else 0  # at least one eighth
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _plain_bar(count: int, most: int) -> str:
    return "#" * max(round(WIDTH * count / most), 1) if count else ""
