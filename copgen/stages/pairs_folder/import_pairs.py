"""`copgen import`: convert the authors' tree of images to a pairs folder; needs no generator.

The pixels are unchanged. Every image is decoded and encoded again, so that a damaged one is found now, not in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch

from copgen.pairs import (
    ImportedPlan,
    ImportSource,
    Pair,
    encoder_versions,
    finish,
    layout,
    missing_shards,
    read_plan,
    write_shard,
)
from copgen.pairs.codecs import ImageFormat
from copgen.pairs.foreign_images import decode_file
from copgen.pairs.genrep_folder import Tree, read_tree, usual_roles
from copgen.pairs.places import Places
from copgen.pairs.store import LocalStore
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import versions
from copgen.runtime.path_errors import path_errors
from copgen.runtime.signals import StopRequest
from copgen.stages.pairs_folder.interruptible import watcher
from copgen.storage.lock import locked, refuse_foreign

PAIRS_PER_SHARD = 10_000


@path_errors()
def import_pairs(
    folder: Path,
    *,
    out: Path,
    pairs_per_shard: int | None = None,
    only: int | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Write the pairs of a tree that are missing in the folder `out`; returns the counts and the bytes.

    Args:
        folder: the tree: a dataset of the authors' scripts, its `train`, or one class.
        out: the pairs folder.
        pairs_per_shard: pairs in each tar file; None: as in an existing folder, else 10,000.
        only: regenerate this shard, whether it exists or not, and no other.
        overwrite: start from scratch, replacing existing pairs.
        events: receives progress and messages.

    Raises:
        DataError: not such a tree, a pair with a missing image, or an image that is damaged or of another size.
        UsageError: the folder holds other pairs, or there is no such shard.
        EnvironmentFault: the folder is not writable, in use, or not a pairs folder.
        Stopped: a signal arrived; finished shards are kept, and the same call resumes.
    """
    events = events or Silent()
    tree = read_tree(folder)
    if tree.ignored:
        events.say(f"Ignoring {tree.ignored:,} files that are not images of pairs.")
    if uneven := _uneven(tree):
        events.warn(uneven)
    refuse_foreign(out, mark=layout.PLAN, holds="pairs")
    plan = make_plan(folder, tree, pairs_per_shard, None if overwrite else _planned(out))
    if only is not None and only >= plan.shards:
        raise UsageError(f"There is no shard {only}.", fix=f"Pass a number from 0 to {plan.shards - 1}.")
    finished = (out / layout.MANIFEST).exists() and not overwrite and only is None
    with locked(out, finished=finished), StopRequest() as stop:
        store = LocalStore(out)
        if overwrite:
            store.empty()
        plan.save(store)
        Places.of({"tree": folder}).save(store)
        missing = [only] if only is not None else missing_shards(out, plan)
        done = plan.pairs - sum(len(plan.shard_range(number)) for number in missing)
        events.begin("import", total=plan.pairs, unit="pairs", done=done)
        try:
            for number in missing:
                indices = plan.shard_range(number)
                watch = watcher(events, stop, shift=done - indices.start)
                with store.shard_folder(number) as place:
                    write_shard(place, plan, number, read_pairs(tree, plan, number, watch))
                done += len(indices)
                events.advance(done, {})
        finally:
            events.end()
        still = missing_shards(out, plan)  # with `only`, others may be missing
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


def make_plan(folder: Path, tree: Tree, pairs_per_shard: int | None, there: ImportedPlan | None) -> ImportedPlan:
    """The plan of the folder, with the origin of its pairs; `there` is an existing plan."""
    if len(tree.roles) > 100:
        raise DataError(f"{folder} has {len(tree.roles) - 1} positives per anchor; at most 99 are supported.")
    roles: tuple[str, ...] | None = tree.roles[1:]
    if roles == usual_roles(len(tree.roles) - 1) or (there is not None and there.imported.roles is None):
        roles = None  # plans of older versions have none, whatever the names were
    source = ImportSource(
        layout="genrep", name=folder.resolve().name, files=tree.files, sha256=tree.sha256, roles=roles
    )
    decoder: ImageFormat = "jpg" if tree.end == "jpeg" else cast(ImageFormat, tree.end)
    return ImportedPlan.model_validate(
        {
            "pairs": tree.pairs,
            "pairs_per_shard": pairs_per_shard or (there.pairs_per_shard if there else PAIRS_PER_SHARD),
            "positives": len(tree.roles) - 1,
            "image_shape": tree.shape,
            "versions": {
                "copgen": versions()["copgen"],
                **encoder_versions("png", tree.shape),
                **encoder_versions(decoder, tree.shape),
            },
            "imported": source,
        }
    )


def _planned(out: Path) -> ImportedPlan | None:
    """The plan of an existing import, or None."""
    there = read_plan(out) if (out / layout.PLAN).exists() else None
    return there if isinstance(there, ImportedPlan) else None


def read_pairs(tree: Tree, plan: ImportedPlan, number: int, watch: Callable[[int], None]) -> Iterator[Pair]:
    """Read the pairs of one shard from the tree; calls `watch` with the index of each before reading it."""
    indices = plan.shard_range(number)
    for index, (name, stem) in zip(indices, tree.stems(indices), strict=True):
        watch(index)
        images = []
        for path in tree.paths(name, stem):
            try:
                images.append(torch.from_numpy(decode_file(path, plan.image_shape).copy()))
            except ValueError as error:
                first = " x ".join(map(str, plan.image_shape[1:]))
                fix = f"Regenerate it or remove its pair; all images must have the size of the first, {first} pixels."
                raise DataError(f"{path} {error}.", fix=fix) from None
        metadata = {"index": index, "class": name, "file": stem}
        yield Pair(index=index, anchor=images[0], positives=tuple(images[1:]), metadata=metadata)


def _uneven(tree: Tree) -> str | None:
    """Warnings about classes with fewer pairs than others."""
    counts = {name: len(stems) for name, stems in tree.classes.items()}
    fewest, most = min(counts, key=lambda name: counts[name]), max(counts.values())
    if counts[fewest] == most:
        return None
    return (
        f"Class {fewest} has {counts[fewest]:,} pairs, others up to {most:,}: the authors' script, when interrupted, "
        "leaves a class incomplete and does not resume it."
    )
