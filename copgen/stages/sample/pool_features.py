"""The features of the pool of `nearest`: computed once, in parts that workers share like shards.

`pool/part-000017.safetensors` in the pairs folder holds those of images 17 PART to 18 PART - 1; they are claimed as
shards are, so that any mix of workers computes each part once, and a stopped run resumes. When all pairs are written,
the parts are removed. Batches restart in every part: like a shard, it is a function of (plan, number).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from copgen.pairs import Plan, layout
from copgen.pairs.claims import Claims
from copgen.pairs.store import Store
from copgen.runtime.errors import DataError
from copgen.runtime.machine import cpu_threads
from copgen.runtime.signals import StopRequest
from copgen.stages.sample.nearest import Neighbours
from copgen.stages.sample.pair_source import Source

PART = 1024  # images
NAME = "features"
FEW = 16  # images that are timed


def parts_of(count: int) -> list[range]:
    """The numbers of the images of each part."""
    return [range(start, min(start + PART, count)) for start in range(0, count, PART)]


def parts_left(store: Store | None, count: int) -> list[int]:
    """The parts that a folder does not hold yet."""
    there = store.sizes(layout.POOL) if store is not None else {}
    return [
        number for number in range(len(parts_of(count))) if layout.part_name(number).rpartition("/")[2] not in there
    ]


@torch.no_grad()
def with_features(
    source: Source,
    store: Store,
    plan: Plan,
    stop: StopRequest,
    *,
    progress: Callable[[int], None] = lambda images: None,
    needed: Callable[[], bool] = lambda: True,
) -> Source:
    """The source with the features of its pool, which this worker computes together with others.

    A worker that finds all shards written removes the pool; then others, which may be reading it, need none.

    Args:
        source: its `neighbours` may be None; then it is returned as it is.
        store: of the pairs folder.
        plan: of the folder.
        stop: is checked between two batches.
        progress: receives the number of images whose features are there.
        needed: whether there are shards to write; otherwise the source is returned as it is.

    Raises:
        Stopped: a signal arrived; finished parts are kept.
        DataError: an image of the pool without finite features, or a damaged part.
    """
    neighbours = source.neighbours
    if neighbours is None or neighbours.features is not None:
        return source
    features = None
    while features is None and needed():
        _compute_parts(source, neighbours, store, plan, stop, progress)
        features = _read_parts(store, neighbours, _device(source))
    return source if features is None else _holding(source, neighbours, features)


def _compute_parts(
    source: Source,
    neighbours: Neighbours,
    store: Store,
    plan: Plan,
    stop: StopRequest,
    progress: Callable[[int], None],
) -> None:
    """Return when the folder holds all parts, whoever computed them."""
    ranges = parts_of(neighbours.pool.count)
    with cpu_threads(plan.threads), Claims(store, folder=layout.POOL) as claims:
        while left := parts_left(store, neighbours.pool.count):
            progress(sum(map(len, ranges)) - sum(len(ranges[number]) for number in left))
            if (number := claims.take(left)) is None:
                _refuse_stop(stop)
                time.sleep(store.pause_s)
                continue
            if number in parts_left(store, neighbours.pool.count):  # not finished by another since the listing
                features = features_of(source, neighbours, plan, ranges[number], stop)
                store.write(layout.part_name(number), safetensors.torch.save({NAME: features}))
            claims.release(number)


def _read_parts(store: Store, neighbours: Neighbours, device: torch.device) -> Tensor | None:
    """The features of all parts (N, D); None if a part was removed."""
    features = torch.empty(neighbours.pool.count, neighbours.space.dim, device=device)
    for number, rows in enumerate(parts_of(neighbours.pool.count)):
        try:
            data = store.read(layout.part_name(number))
        except DataError:
            return None
        features[rows.start : rows.stop] = _read(data, store.where(layout.part_name(number)), len(rows), neighbours)
    return features


def _holding(source: Source, neighbours: Neighbours, features: Tensor) -> Source:
    return dataclasses.replace(source, neighbours=dataclasses.replace(neighbours, features=features))


def features_of(
    source: Source, neighbours: Neighbours, plan: Plan, numbers: range, stop: StopRequest | None = None
) -> Tensor:
    """Features (K, D) of unit length, on the CPU, of images of the pool.

    Raises:
        Stopped: a signal arrived.
        DataError: an image without finite features.
    """
    found, device = [], _device(source)
    for start in range(numbers.start, numbers.stop, plan.rows_at_once):
        if stop is not None:
            _refuse_stop(stop)
        batch = range(start, min(start + plan.rows_at_once, numbers.stop))
        z, condition = neighbours.pool.latents(batch, device), neighbours.pool.condition(batch, device)
        found.append(neighbours.unit_features(source.images(z, condition)).cpu())
    features = torch.cat(found)
    if not bool((finite := features.isfinite().all(dim=1)).all()):
        raise DataError(
            f"Image {numbers[int((~finite).nonzero()[0])]} of the pool has features that are not finite.",
            fix="Check the weights of the generator and of the encoder of --features.",
        )
    return features


@torch.no_grad()
def rehearsed(source: Source, plan: Plan) -> tuple[Source, float]:
    """The source with features of a few images in place of all of the pool, and the seconds that one takes."""
    neighbours = source.neighbours
    if neighbours is None or neighbours.features is not None:
        return source, 0.0
    few = range(min(FEW, neighbours.pool.count))
    with cpu_threads(plan.threads):
        features_of(source, neighbours, plan, few)
        start = time.perf_counter()
        features = features_of(source, neighbours, plan, few)
        seconds = time.perf_counter() - start
    filled = features.repeat(-(-neighbours.pool.count // len(few)), 1)[: neighbours.pool.count]
    return _holding(source, neighbours, filled.to(_device(source))), seconds / len(few)


def _read(data: bytes, where: str, rows: int, neighbours: Neighbours) -> Tensor:
    """The features of a part (rows, D), from its file."""
    try:
        features = safetensors.torch.load(data).get(NAME)
    except SafetensorError:
        features = None
    if features is None or features.shape != (rows, neighbours.space.dim) or not bool(features.isfinite().all()):
        raise DataError(f"{where} does not hold features of {rows:,} images.", fix="Remove it: it is computed again.")
    return features


def _refuse_stop(stop: StopRequest) -> None:
    if stop.received:
        raise stop.stopped("while the features of the pool were computed; finished parts are kept")


def _device(source: Source) -> torch.device:
    """The device of the generator."""
    held = next(source.G.parameters(), None)
    return held.device if held is not None else torch.device("cpu")
