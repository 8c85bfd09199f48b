"""`copgen import`: the authors' tree of images into a pairs folder, for which no generator is needed any more.

The pixels stay what they are. Every image is decoded and encoded anew, so a damaged one is found now, not in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from copgen.pairs import (
    ImportedPlan,
    ImportSource,
    Pair,
    encoder_versions,
    finish,
    layout,
    missing_shards,
    png,
    write_shard,
)
from copgen.pairs.genrep import Tree, image_bytes, read_tree
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.lock import locked, refuse_foreign
from copgen.runtime.machine import versions
from copgen.runtime.signals import StopRequest
from copgen.stages.sample import prepare, watched

PAIRS_PER_SHARD = 10_000


def import_pairs(
    folder: Path,
    *,
    out: Path,
    pairs_per_shard: int = PAIRS_PER_SHARD,
    only: int | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Write the pairs of a tree that are missing from the folder `out`; returns the counts, and the bytes.

    Args:
        folder: the tree: a data set of the authors' scripts, its `train`, or one class.
        out: the pairs folder.
        pairs_per_shard: pairs in each tar file.
        only: write this shard anew, whether it is there or not, and no other.
        overwrite: start anew over the pairs that are there.
        events: who listens.

    Raises:
        DataError: no tree, a pair of which one image is missing, or an image that is damaged or of another size.
        UsageError: the folder holds other pairs, or there is no such shard.
        EnvironmentFault: the folder is not writable, in use, or holds something that is no pairs folder.
        Stopped: a signal came; shards that were finished stay, and the same call goes on.
    """
    events = events or Silent()
    tree = read_tree(folder)
    if tree.ignored:
        events.say(f"{tree.ignored:,} files that are no PNG images are left out.")
    if uneven := _uneven(tree):
        events.warn(uneven)
    plan = make_plan(folder, tree, pairs_per_shard)
    if only is not None and only >= plan.shards:
        raise UsageError(f"There is no shard {only}.", fix=f"The {plan.shards} shards are 0 to {plan.shards - 1}.")
    refuse_foreign(out, mark=layout.PLAN, holds="pairs")
    with locked(out), StopRequest() as stop:
        prepare(out, plan, overwrite=overwrite)
        missing = [only] if only is not None else missing_shards(out, plan)
        total = sum(len(plan.shard_range(number)) for number in missing)
        done = 0 if only is not None else plan.pairs - total
        events.begin("import", total=done + total, unit="pairs", done=done)
        try:
            for number in missing:
                pairs = read_pairs(tree, plan, number)
                write_shard(out, plan, number, watched(pairs, done, events, stop))
                done += len(plan.shard_range(number))
                events.advance(done, {})
        finally:
            events.end()
        still = missing_shards(out, plan)  # with `only`, others may be
        written = finish(out, plan).bytes if not still else None
    return {
        "pairs": plan.pairs,
        "positives": plan.positives,
        "classes": {name: len(stems) for name, stems in tree.classes.items()},
        "shards": plan.shards,
        "missing": still,
        "bytes": written,
        "left_out": tree.ignored,
    }


def make_plan(folder: Path, tree: Tree, pairs_per_shard: int) -> ImportedPlan:
    """What the folder will hold, and where it came from."""
    if len(tree.roles) > 100:
        raise DataError(f"{folder} has {len(tree.roles) - 1} positives an anchor; up to 99 are taken.")
    source = ImportSource(layout="genrep", name=folder.resolve().name, files=tree.files, sha256=tree.sha256)
    return ImportedPlan.model_validate(
        {
            "pairs": tree.pairs,
            "pairs_per_shard": pairs_per_shard,
            "positives": len(tree.roles) - 1,
            "image_shape": tree.shape,
            "versions": {"copgen": versions()["copgen"], **encoder_versions()},
            "imported": source,
        }
    )


def read_pairs(tree: Tree, plan: ImportedPlan, number: int) -> Iterator[Pair]:
    """The pairs of one shard, read from the tree."""
    indices = plan.shard_range(number)
    for index, (name, stem) in zip(indices, tree.stems(indices), strict=True):
        images = []
        for path in tree.paths(name, stem):
            try:
                images.append(torch.from_numpy(png.decode(image_bytes(path), plan.image_shape).copy()))
            except ValueError as error:
                first = " x ".join(map(str, plan.image_shape[1:]))
                fix = f"Make it again, or remove its pair; the first image is {first} pixels, and so must all be."
                raise DataError(f"{path} {error}.", fix=fix) from None
        metadata = {"index": index, "class": name, "file": stem}
        yield Pair(index=index, anchor=images[0], positives=tuple(images[1:]), metadata=metadata)


def _uneven(tree: Tree) -> str | None:
    """What to say of classes that hold fewer pairs than others."""
    counts = {name: len(stems) for name, stems in tree.classes.items()}
    fewest, most = min(counts, key=lambda name: counts[name]), max(counts.values())
    if counts[fewest] == most:
        return None
    return (
        f"Class {fewest} holds {counts[fewest]:,} pairs, others up to {most:,}: the authors' script leaves a class "
        "short when it is stopped, and never goes on with it."
    )
