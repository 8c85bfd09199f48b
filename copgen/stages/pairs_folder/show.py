"""`copgen show`: the content of a pairs folder, finished or not: counts, the distribution of d, classes, and a picture.

d(z, z') and classes come from the metadata of the pairs. In a large folder they are read from a few evenly spaced
shards, and the result says how many pairs were read. Imported pairs are in the order of their classes, of which a few
shards have a few: evenly spaced pairs of all shards are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from copgen.pairs import Contents, ImportedPlan, Pair, Plan, layout, missing_shards
from copgen.pairs.manifest import Manifest
from copgen.pairs.record import load_record
from copgen.pairs.scan import scan
from copgen.pairs.shard_reader import ShardReader
from copgen.pairs.verification import leftovers, load_plan
from copgen.report.contact_sheet import Column, contact_sheet
from copgen.report.grid import save_picture
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors

PAIRS, READ = 24, 200_000
BINS = 16
QUANTILES = (0.01, 0.5, 0.99)
Metadata = dict[str, Any]


@path_errors()
def show(
    folder: Path, *, out: Path, pairs: int = PAIRS, read: int = READ, events: Events | None = None
) -> dict[str, Any]:
    """Summarise a pairs folder and render some evenly spaced pairs.

    Args:
        folder: the pairs folder; missing shards are skipped.
        out: the contact sheet, PNG.
        pairs: number of pairs to render.
        read: maximum number of pairs whose metadata is read, in whole shards, at least one; of imported pairs, in all
            shards.
        events: receives progress and messages.

    Raises:
        DataError: not a pairs folder, no shard yet, or a damaged shard.
    """
    events = events or Silent()
    plan = load_plan(folder)
    finished = (folder / layout.MANIFEST).is_file()
    there = range(plan.shards) if finished else _written(folder, plan)
    if not there:
        raise DataError(f"{folder} contains no shard yet.", fix=f"Run the same `{plan.command}` command to write them.")
    count = sum(len(plan.shard_range(number)) for number in there)
    if isinstance(plan, ImportedPlan):
        chosen: Mapping[int, Sequence[int]] = _places(plan, there, _spread(range(count), read))
    else:
        shards = _spread(there, max(1, read // plan.pairs_per_shard))
        chosen = {number: range(len(plan.shard_range(number))) for number in shards}
    metadata = _metadata(folder, plan, chosen, events)
    places = _places(plan, there, _spread(range(count), pairs))
    drawn = [_pair(folder, plan, number, row) for number, rows in places.items() for row in rows]
    save_picture(out, contact_sheet(f"{folder}/: {len(drawn)} of {count:,} pairs", [_column(pair) for pair in drawn]))
    return {
        "pairs": count,
        "pairs_planned": plan.pairs,
        "positives": plan.positives,
        "shards": len(there),
        "shards_planned": plan.shards,
        "finished": finished,
        "bytes": _bytes(folder, plan, there, finished=finished),
        "image_shape": list(plan.image_shape),
        "image_format": plan.image_format,
        "source": source(plan),
        "read": len(metadata),
        "d": distances(metadata),
        "classes": classes(metadata),
        "leftovers": [str(path) for path in leftovers(folder)],
        "picture": str(out),
    }


@path_errors()
def show_pair(folder: Path, index: int, *, out: Path) -> dict[str, Any]:
    """One pair with all its metadata, rendered into `out`.

    Raises:
        UsageError: no such pair.
        DataError: not a pairs folder, or the pair's shard is missing or damaged.
    """
    plan = load_plan(folder)
    if index >= plan.pairs:
        raise UsageError(f"There is no pair {index:,}.", fix=f"Pass an index from 0 to {plan.pairs - 1:,}.")
    number, row = divmod(index, plan.pairs_per_shard)
    members = scan(folder, plan, number)
    pair = _pair(folder, plan, number, row)
    save_picture(out, contact_sheet(f"{folder}/: pair {index:,}", [_column(pair)]))
    places = zip(members.components, members.offsets[row].tolist(), members.sizes[row].tolist(), strict=True)
    return {
        "index": index,
        "shard": number,
        "file": str(layout.tar_path(folder, number)),
        "members": [
            {"name": f"{layout.key(index)}.{component}", "offset": offset, "bytes": size}
            for component, offset, size in places
        ],
        "metadata": pair.metadata,
        "picture": str(out),
    }


def source(plan: Contents) -> dict[str, Any]:
    """The source of the pairs, from the plan."""
    if isinstance(plan, ImportedPlan):
        return {"imported": plan.imported.model_dump(mode="json")}
    assert isinstance(plan, Plan)  # there is no third kind
    parts = {name: getattr(plan, name).model_dump(mode="json") for name in ("generator", "prior", "transform")}
    return {**parts, "seed": plan.seed}


def distances(metadata: list[Metadata]) -> dict[str, Any] | None:
    """Statistics and a histogram of d(z, z') over all positives; None if it is not recorded."""
    values: list[float] = []
    for known in metadata:
        of_pair = known.get("d_positives", [known.get("d")])
        values += [float(d) for d in of_pair if isinstance(d, int | float)] if isinstance(of_pair, list) else []
    if not values:
        return None
    d = np.array(values)
    low, high = float(d.min()), float(d.max())
    counts, edges = np.histogram(d, bins=BINS if high > low else 1, range=(low, high))
    return {
        "mean": float(d.mean()),
        "std": float(d.std()),
        "quantiles": {str(q): float(np.quantile(d, q)) for q in QUANTILES},
        "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
    }


def classes(metadata: list[Metadata]) -> dict[str, Any] | None:
    """Number of pairs of each class or instance, in order; None without either."""
    for kind in ("class", "instance"):
        counts = Counter(known[kind] for known in metadata if isinstance(known.get(kind), int | str))
        if counts:
            ordered = sorted(counts, key=lambda name: (isinstance(name, str), name))
            return {"kind": kind, "count": len(counts), "pairs": {str(name): counts[name] for name in ordered}}
    return None


def _written(folder: Path, plan: Contents) -> list[int]:
    missing = set(missing_shards(folder, plan))
    return [number for number in range(plan.shards) if number not in missing]


def _bytes(folder: Path, plan: Contents, there: range | list[int], *, finished: bool) -> int:
    if finished:
        return Manifest.read(folder / layout.MANIFEST).bytes
    return sum(load_record(folder, plan, number).bytes for number in there)


def _spread(numbers: range | list[int], count: int) -> list[int]:
    """At most `count` of the numbers, evenly spaced, including the first and, from two on, the last."""
    if count >= len(numbers):
        return list(numbers)
    return [numbers[round(k * (len(numbers) - 1) / max(1, count - 1))] for k in range(count)]


def _places(plan: Contents, there: range | list[int], positions: list[int]) -> dict[int, list[int]]:
    """The rows of each shard that have these positions among the pairs on disk."""
    found: dict[int, list[int]] = {}
    for position in positions:
        number, row = divmod(position, plan.pairs_per_shard)
        found.setdefault(there[number], []).append(row)
    return found


def _metadata(folder: Path, plan: Contents, chosen: Mapping[int, Sequence[int]], events: Events) -> list[Metadata]:
    """The metadata of the chosen rows of each shard."""
    found: list[Metadata] = []
    events.begin("show", total=len(chosen), unit="shards")
    try:
        for done, (number, rows) in enumerate(chosen.items(), start=1):
            with ShardReader(folder, plan, number, scan(folder, plan, number)) as shard:
                found += [shard.metadata(row) for row in rows]
            events.advance(done, {})
    finally:
        events.end()
    return found


def _pair(folder: Path, plan: Contents, number: int, row: int) -> Pair:
    with ShardReader(folder, plan, number, scan(folder, plan, number)) as shard:
        return shard.pair(row)


def _column(pair: Pair) -> Column:
    known = pair.metadata
    caption = [f"#{pair.index}"]
    caption += [f"d {known['d']:.4f}"] if isinstance(known.get("d"), int | float) else []
    caption += [f"{kind} {known[kind]}" for kind in ("class", "instance") if isinstance(known.get(kind), int | str)]
    return Column(torch.stack([pair.anchor, *pair.positives]), tuple(caption))
