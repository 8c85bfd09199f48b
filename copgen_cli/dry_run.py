"""`--dry-run`: the resolved settings as TOML, which `--config` takes, under a line with time, memory and disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from copgen_cli.console import answer, answers
from copgen_cli.wording import duration, size

if TYPE_CHECKING:
    from copgen.runtime.settings import Settings


def show_plan(settings: Settings, estimate: Mapping[str, float], *, as_json: bool) -> None:
    """Print what a command would do, and what that would take here."""
    if as_json:
        answer({"settings": settings.tree(), "estimate": dict(estimate)}, [], as_json=True)
        return
    channel = answers()
    if estimate:
        ranks = int(estimate.get("ranks", 1))
        each = " in each rank" if ranks > 1 else ""
        channel.tell(
            f"# about {duration(estimate['seconds'])}, {size(estimate['memory_bytes'])} of memory{each}, "
            f"{size(estimate['disk_bytes'])} of disk"
        )
        if ranks > 1:
            share = int(estimate["batch_per_rank"])
            channel.tell(f"# {ranks:,} ranks, each with {share:,} of the {ranks * share:,} pairs of a batch")
    channel.tell(settings.to_toml().rstrip())
