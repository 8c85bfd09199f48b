"""The writer alone, on given images: encoding, tars and fsync, compared with a bare encoding loop.

On one core and on two: the process is pinned to them, so that copgen's threads do not use a core that the bare loop
does not have. The images are smooth with a little noise, so that their PNG files are as large as natural images'.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from copgen import pairs
from copgen.pairs.codecs import DEFAULT_QUALITY, ImageFormat, encode
from copgen.pairs.pipeline import overlapped

SIDE, BATCH, POOL = 128, 50, 100
BARE = "bare loop, 1 core"
ONE_THREAD, ONE_THREAD_ON_TWO = "writer, 1 thread, 1 core", "writer, 1 thread, 2 cores"
TWO_THREADS, TWO_PROCESSES = "writer, 2 threads, 2 cores", "writer, 2 processes, 2 cores"
Given = dict[int, list[list[pairs.Pair]]]  # the batches of each shard


def plan(format: ImageFormat, count: int, per_shard: int, batch: int = BATCH) -> pairs.Plan:
    """A plan of `count` pairs of 128 x 128 colour images."""
    return pairs.Plan.model_validate(
        {
            "seed": 0,
            "pairs": count,
            "pairs_per_shard": per_shard,
            "batch": batch,
            "generator": {"name": "given", "sha256": "0" * 64},
            "prior": {"name": "normal"},
            "transform": {"name": "none"},
            "image_format": format,
            "quality": DEFAULT_QUALITY[format],
            "image_shape": (3, SIDE, SIDE),
            "device": "cpu",
            "versions": pairs.encoder_versions(format, (3, SIDE, SIDE)),
        }
    )


def images() -> torch.Tensor:
    """The pool that pairs are taken from, (POOL, 3, SIDE, SIDE) uint8."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.randn(POOL, 3, 16, 16, generator=draw)
    smooth = F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")
    noisy = 0.3 * (smooth + 0.05 * torch.randn(smooth.shape, generator=draw)) + 0.5
    # In channels-last memory, as `sample` passes images to the encoders.
    return (noisy.clamp(0, 1) * 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)


def batches(made: pairs.Plan, number: int, pool: torch.Tensor, *, fresh: bool = False) -> Iterator[list[pairs.Pair]]:
    """The pairs of a shard, as views of the pool or, if `fresh`, as copies, like a generator's output."""
    indices = made.shard_range(number)
    for start in range(indices.start, indices.stop, made.batch):
        rows = range(start, min(start + made.batch, indices.stop))
        images = pool.clone() if fresh else pool
        yield [
            pairs.Pair(row, images[row % POOL], (images[(row + 1) % POOL],), {"index": row, "d": 0.0}) for row in rows
        ]


def given(made: pairs.Plan, numbers: Iterable[int], pool: torch.Tensor) -> Given:
    """The pairs of the given shards, created in advance."""
    made_before = {number: list(batches(made, number, pool)) for number in numbers}
    gc.collect()  # not during the timed part
    return made_before


def write(out: Path, made: pairs.Plan, shards: Given, *, encoders: int | None) -> None:
    """Write the given shards."""
    with overlapped(made, shards, lambda number: iter(shards[number]), encoders=encoders) as encoded_shards:
        for number, encoded in encoded_shards:
            pairs.write_shard(out, made, number, encoded)


def bare_loop(format: ImageFormat, count: int, pool: torch.Tensor) -> None:
    """Encode the images of `count` pairs and discard the bytes."""
    arrays = pool.numpy()
    for k in range(2 * count):
        encode(arrays[k % POOL], format, DEFAULT_QUALITY[format])


def rates(format: ImageFormat, count: int, batch: int, rounds: int) -> dict[str, list[float]]:
    """Images per second of each method in every round, interleaved."""
    pool = images()
    cores = sorted(os.sched_getaffinity(0))
    one, two = set(cores[:1]), set(cores[:2])
    made = plan(format, count, -(-count // 2), batch)
    shards = given(made, range(2), pool)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pairs"
        ways: dict[str, tuple[set[int], Callable[[], None]]] = {
            BARE: (one, lambda: bare_loop(format, count, pool)),
            ONE_THREAD: (one, lambda: write(out, made, shards, encoders=1)),
        }
        if len(two) == 2:
            ways[ONE_THREAD_ON_TWO] = (two, lambda: write(out, made, shards, encoders=1))
            ways[TWO_THREADS] = (two, lambda: write(out, made, shards, encoders=2))
        found: dict[str, list[float]] = {name: [] for name in ways}
        for index in range(rounds):
            for name in list(ways)[:: -1 if index % 2 else 1]:
                affinity, call = ways[name]
                os.sched_setaffinity(0, affinity)
                begin = time.perf_counter()
                call()
                found[name].append(2 * count / (time.perf_counter() - begin))
                shutil.rmtree(out, ignore_errors=True)
            os.sched_setaffinity(0, set(cores))
            if len(two) == 2:
                found.setdefault(TWO_PROCESSES, []).append(_in_two_processes(made))
    return found


def _in_two_processes(made: pairs.Plan) -> float:
    """Images per second of two processes that write a shard each, from both being ready until the slower is done."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, context.Manager() as manager:
        ready = manager.Barrier(2)
        with context.Pool(2) as pool:
            arguments = [(Path(folder), made, number, ready) for number in range(2)]
            spans = pool.starmap(_worker, arguments, chunksize=1)
    return 2 * made.pairs / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _worker(folder: Path, made: pairs.Plan, number: int, ready: Any) -> tuple[float, float]:
    """Write one of two shards; returns the start and end times."""
    torch.set_num_threads(1)
    shard = given(made, [number], images())
    ready.wait(timeout=120)
    begin = time.monotonic()
    write(folder, made, shard, encoders=1)
    return begin, time.monotonic()
