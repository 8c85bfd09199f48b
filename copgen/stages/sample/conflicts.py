"""Checks and warnings before `sample` starts: conflicting options, licences of the weights."""

from __future__ import annotations

from collections.abc import Sequence

from copgen import generators
from copgen.distributed.slices import ShardSlice
from copgen.generators.settings import terms
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events
from copgen.stages.sample.settings import SampleSettings

MOST_WORKERS = 256


def refuse_choices(out: str, *, overwrite: bool, workers: int, part: ShardSlice, only: Sequence[int]) -> None:
    """Refuse conflicting options.

    Raises:
        UsageError: with both of them.
    """
    if workers < 1:
        raise UsageError(f"--workers {workers} is invalid.", fix="Pass --workers 1 or more.")
    if workers > MOST_WORKERS:
        raise UsageError(
            f"--workers {workers:,} is too many for one machine.",
            fix=f"Pass at most {MOST_WORKERS}, and use more machines (docs/scaling.md).",
        )
    if only and overwrite:
        raise UsageError(
            "--only and --overwrite conflict: --only regenerates shards of a folder that --overwrite would empty.",
            fix="Leave out one of them.",
        )
    if only and workers > 1:
        raise UsageError("--only runs in one process.", fix="Leave out --workers.")
    if overwrite and part.count != 1:
        raise UsageError(
            f"--overwrite in one worker of several (slice {part}) would remove the shards of the others.",
            fix="Leave out --overwrite, and remove the folder before the workers start.",
        )
    if workers > 1 and out.startswith("memory://"):
        raise UsageError(f"{out} exists in the memory of one process only.", fix="Leave out --workers.")


def tell_terms(settings: SampleSettings, G: generators.Generator, events: Events) -> None:
    """Warn about the licence of the weights and about an unsuitable transform."""
    if note := terms(G):
        events.say(note)
    if settings.transform == "random" and G.condition_kind is None:
        events.warn(f"'{G.name}' has no conditions: with 'random', an anchor and its positive are unrelated.")
