"""`--dry-run`: estimates of time, memory and disk, and the resolved settings as TOML for `--config`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from copgen.runtime.sizes import size
from copgen_cli.console import answer, answers
from copgen_cli.wording import duration

if TYPE_CHECKING:
    from copgen.pairs.store import Store
    from copgen.runtime.settings import Settings
    from copgen.stages.sample.settings import SampleSettings

WIDTH = 77  # characters of a note, so that its line has at most 79


def show_plan(settings: Settings, estimate: Mapping[str, Any], *, as_json: bool, notes: Sequence[str] = ()) -> None:
    """Print the settings and the estimate of a command.

    Args:
        settings: resolved.
        estimate: `seconds`, `memory_bytes`, `disk_bytes` and others; may be empty.
        as_json: one JSON document.
        notes: on the estimate, a line each.
    """
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
    for note in notes:
        for line in textwrap.wrap(note, WIDTH):
            channel.tell(f"# {line}")
    channel.page(settings.to_toml())


def show_sampling(
    settings: SampleSettings, *, store: Store | None, only: Sequence[int], workers: int, as_json: bool
) -> None:
    """The output of `copgen sample --dry-run`: for all shards that are missing from the store, or for `only`."""
    from copgen.stages.sample.estimate import estimate

    found = estimate(settings, workers=workers, store=store, only=only)
    notes = [f"estimated from {found.rests_on}", *([found.advice] if found.advice else [])]
    if found.pool_seconds:
        shared = f", shared by {found.workers} workers" if found.workers > 1 else ""
        notes.insert(0, f"{duration(found.pool_seconds)} of it for the features of {settings.pool:,} images{shared}")
    if workers > 1:
        fewer = "" if found.workers == workers else f", {found.workers} at a time (limited by cores or GPUs)"
        notes.insert(0, f"{workers} workers{fewer}; memory is per worker")
    if store is not None and not only and found.pairs < settings.n:
        notes.insert(0, f"{settings.n - found.pairs:,} of {settings.n:,} pairs are in {store.where()} already")
    show_plan(settings, asdict(found), as_json=as_json, notes=notes)
