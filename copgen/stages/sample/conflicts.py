"""What `sample` refuses or tells before it begins: choices that cannot be meant together, terms of the weights."""

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
    """Refuse choices that cannot be meant together.

    Raises:
        UsageError: with the two.
    """
    if workers < 1:
        raise UsageError(f"{workers} workers cannot make anything.", fix="Give --workers 1 or more.")
    if workers > MOST_WORKERS:
        raise UsageError(
            f"{workers:,} workers are more than one machine runs.",
            fix=f"Give up to {MOST_WORKERS}; more machines are better (docs/scaling.md).",
        )
    if only and overwrite:
        raise UsageError("--only makes shards of a folder that --overwrite would empty.", fix="Leave out one of them.")
    if only and workers > 1:
        raise UsageError("--only is the work of one process.", fix="Leave out --workers.")
    if overwrite and part.count != 1:
        raise UsageError(
            f"--overwrite in one worker of several (slice {part}) would remove what the others have made.",
            fix="Remove the folder once, before they start, and leave out --overwrite.",
        )
    if workers > 1 and out.startswith("memory://"):
        raise UsageError(f"{out} is in the memory of one process.", fix="Leave out --workers.")


def tell_terms(settings: SampleSettings, G: generators.Generator, events: Events) -> None:
    """What the user should know of the generator's weights and of the transform."""
    if note := terms(G):
        events.say(note)
    if settings.transform == "random" and G.condition_kind is None:
        events.warn(f"'{G.name}' has no conditions: with 'random' an anchor and its positive have nothing in common.")
