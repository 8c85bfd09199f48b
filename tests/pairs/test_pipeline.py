"""Pairs are generated, encoded and written concurrently: in order, a bounded number ahead, errors at their pair."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from copgen import pairs
from copgen.pairs.pipeline import AHEAD, encoder_threads, overlapped
from tests.pairs import folders

THREADS = [None, 0, 1, 3]


def batches(plan: pairs.Plan, number: int) -> Iterator[list[pairs.Pair]]:
    """The pairs of a shard in batches of the plan's size."""
    made = list(folders.shard_pairs(plan, number))
    return (made[start : start + plan.batch] for start in range(0, len(made), plan.batch))


@pytest.mark.parametrize("encoders", THREADS)
@pytest.mark.parametrize("format", ["png", "jpg"])
def test_a_folder_is_the_same_however_it_was_written(tmp_path: Path, encoders: int | None, format: str) -> None:
    plan = folders.plan(pairs=11, image_format=format, quality=None if format == "png" else 90, positives=2)
    folders.write(tmp_path / "straight", plan)
    out = tmp_path / "overlapped"
    plan.save(out)
    with overlapped(plan, range(plan.shards), lambda number: batches(plan, number), encoders=encoders) as shards:
        for number, encoded in shards:
            pairs.write_shard(out, plan, number, encoded)
    pairs.finish(out, plan)
    assert folders.files(out) == folders.files(tmp_path / "straight")
    assert pairs.verify(out, "full") == []


@pytest.mark.parametrize("encoders", THREADS)
def test_only_the_named_shards_are_made(encoders: int | None) -> None:
    plan = folders.plan(pairs=11)
    with overlapped(plan, iter([3, 1]), lambda number: batches(plan, number), encoders=encoders) as shards:
        found = {number: [pair.index for pair in encoded] for number, encoded in shards}
    assert found == {3: [9, 10], 1: [3, 4, 5]}


def test_a_bounded_number_of_batches_is_made_ahead() -> None:
    plan = folders.plan(pairs=40, pairs_per_shard=40, batch=2)
    made = 0

    def counted(number: int) -> Iterator[list[pairs.Pair]]:
        nonlocal made
        for batch in batches(plan, number):
            made += 1
            yield batch

    with overlapped(plan, [0], counted, encoders=2) as shards:
        for _, encoded in shards:
            for taken, _ in enumerate(encoded):
                # The batch that is being taken, those that wait, and the one that is begun.
                assert made <= taken // plan.batch + 1 + AHEAD + 1
    assert made == 20


def test_a_shard_ends_before_the_next_one_is_made() -> None:
    plan = folders.plan(pairs=6)
    go_on = threading.Event()

    def waiting(number: int) -> Iterator[list[pairs.Pair]]:
        if number == 1:
            assert go_on.wait(timeout=60)
        yield from batches(plan, number)

    with overlapped(plan, range(2), waiting, encoders=2) as shards:
        number, encoded = next(shards)
        assert (number, len(list(encoded))) == (0, 3)
        go_on.set()
        assert [number for number, encoded in shards if len(list(encoded)) == 3] == [1]


@pytest.mark.parametrize("encoders", THREADS)
@pytest.mark.parametrize("where", ["made", "encoded"])
def test_an_error_comes_out_where_it_happened(tmp_path: Path, encoders: int | None, where: str) -> None:
    plan = folders.plan(pairs=9)

    def broken(number: int) -> Iterator[list[pairs.Pair]]:
        for batch in batches(plan, number):
            if number == 2 and where == "made":
                raise RuntimeError("the generator broke")
            if number == 2:
                batch[0].metadata["bad"] = {1}
            yield batch

    def write() -> None:
        with overlapped(plan, range(plan.shards), broken, encoders=encoders) as shards:
            for number, encoded in shards:
                pairs.write_shard(tmp_path, plan, number, encoded)

    plan.save(tmp_path)
    error, says = (RuntimeError, "generator broke") if where == "made" else (TypeError, "not JSON serializable")
    with pytest.raises(error, match=says):
        write()
    assert pairs.missing_shards(tmp_path, plan) == [2]


@pytest.mark.parametrize("encoders", THREADS)
def test_leaving_early_stops_the_making(encoders: int | None) -> None:
    plan = folders.plan(pairs=3000)
    made: list[int] = []

    def counted(number: int) -> Iterator[list[pairs.Pair]]:
        made.append(number)
        yield from batches(plan, number)

    before = threading.active_count()
    with overlapped(plan, range(plan.shards), counted, encoders=encoders) as shards:
        _, encoded = next(shards)
        assert next(encoded).index == 0
    assert len(made) < 10
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("format", "shape", "threads"),
    [("png", (1, 8, 8), 0), ("jpg", (3, 128, 128), 6), ("png", (3, 128, 128), 6), ("webp", (3, 128, 128), 6)],
)
def test_threads_are_as_many_as_help(
    monkeypatch: pytest.MonkeyPatch, format: str, shape: tuple[int, int, int], threads: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)))
    plan = folders.plan(image_format=format, image_shape=shape, quality=None if format == "png" else 90)
    assert encoder_threads(plan) == threads
    assert encoder_threads(plan, 3) == 3
    assert encoder_threads(plan, 0) == 0


class Slow(Sequence[pairs.Pair]):
    """A batch whose pixels arrive only when the batch after it is queued."""

    def __init__(self, batch: list[pairs.Pair], next_is_queued: threading.Event) -> None:
        self._batch, self._next_is_queued = batch, next_is_queued

    def __len__(self) -> int:
        return len(self._batch)

    def __getitem__(self, places: Any) -> Any:
        assert self._next_is_queued.wait(timeout=60)
        return self._batch[places]


@pytest.mark.parametrize("encoders", [1, 3])
def test_the_next_batch_is_queued_before_the_pixels_of_this_one_are_taken(encoders: int) -> None:
    plan = folders.plan(pairs=9, batch=2)
    count = sum(-(-len(plan.shard_range(number)) // plan.batch) for number in range(plan.shards))
    queued = [threading.Event() for _ in range(count + 1)]
    queued[count].set()
    numbers = iter(range(count))

    def slow(number: int) -> Iterator[Slow]:
        for batch in batches(plan, number):
            at = next(numbers)
            queued[at].set()
            yield Slow(batch, queued[at + 1])

    with overlapped(plan, range(plan.shards), slow, encoders=encoders) as shards:
        assert [pair.index for _, encoded in shards for pair in encoded] == list(range(9))


def test_a_gpu_is_never_idle_while_small_images_are_encoded() -> None:
    plan = folders.plan(image_shape=(1, 8, 8))
    assert (encoder_threads(plan), encoder_threads(plan.model_copy(update={"device": "cuda"}))) == (0, 1)


def test_the_processes_on_a_machine_share_the_encoder_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))
    large = folders.plan(image_shape=(3, 128, 128))
    assert encoder_threads(large) == 32
    for name, value in {"RANK": "1", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    assert (encoder_threads(large), encoder_threads(large, 5)) == (4, 5)


def test_a_signal_that_another_thread_received_is_heard_while_the_main_thread_waits() -> None:
    plan, heard, in_time = folders.plan(pairs=6), threading.Event(), []

    def signalling(number: int) -> Iterator[list[pairs.Pair]]:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        time.sleep(0.5)  # until the main thread waits
        os.kill(os.getpid(), signal.SIGUSR1)
        in_time.append(heard.wait(timeout=20))
        yield from batches(plan, number)

    previous = signal.signal(signal.SIGUSR1, lambda *_: heard.set())
    # The main thread is not woken up by the signal itself.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        with overlapped(plan, [0], signalling, encoders=2) as shards:
            assert [len(list(encoded)) for _, encoded in shards] == [3]
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        signal.signal(signal.SIGUSR1, previous)
    assert in_time == [True]
