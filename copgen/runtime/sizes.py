"""Formats sizes in bytes."""

from __future__ import annotations


def size(n: float) -> str:
    """A size with its unit: '812 B', '3.4 MiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:,.1f} TiB"
