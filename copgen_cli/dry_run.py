"""`--dry-run`: the resolved settings as TOML, which `--config` takes, under a line with time, memory and disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from copgen_cli.console import answer, answers
from copgen_cli.story import duration

if TYPE_CHECKING:
    from copgen.runtime.settings import Settings


def size(n: float) -> str:
    """Bytes to be read at a glance: '812 B', '3.4 MiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:,.1f} TiB"


def show_plan(settings: Settings, estimate: Mapping[str, float], *, as_json: bool) -> None:
    """Print what a command would do, and what that would take here."""
    if as_json:
        answer({"settings": settings.tree(), "estimate": dict(estimate)}, [], as_json=True)
        return
    channel = answers()
    if estimate:
        channel.tell(
            f"# about {duration(estimate['seconds'])}, {size(estimate['memory_bytes'])} of memory, "
            f"{size(estimate['disk_bytes'])} of disk"
        )
    channel.tell(settings.to_toml().rstrip())
