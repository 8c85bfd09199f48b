"""Batches made in advance: the same ones, whatever is asked for, and errors where they belong."""

from __future__ import annotations

import threading

import pytest
import torch

from copgen.data.loaders.loader import Batch
from copgen.data.loaders.prefetched import Prefetched
from copgen.runtime.errors import DataError

CPU = torch.device("cpu")


class Numbers:
    """Batches that hold their sample indices; notes what is made, and fails from a sample on."""

    def __init__(self, fails: int = 10**9) -> None:
        self.made: list[range] = []
        self.closed = False
        self.fails = fails

    def __getitem__(self, samples: range) -> Batch:
        if samples.stop > self.fails:
            raise DataError(f"sample {self.fails} is damaged")
        self.made.append(samples)
        return Batch((torch.tensor(list(samples)),), None)

    def close(self) -> None:
        self.closed = True


def numbers_of(batch: Batch) -> list[int]:
    found: list[int] = batch.views[0].tolist()
    return found


def test_batches_are_those_asked_for_also_after_a_jump() -> None:
    loader = Prefetched(Numbers(), CPU, stride=8, end=10**6)
    for start in (0, 8, 16, 800, 808, 0):
        assert numbers_of(loader[range(start, start + 4)]) == list(range(start, start + 4))
    loader.close()


def test_the_next_batches_are_made_meanwhile_but_none_after_the_end() -> None:
    made = Numbers()
    loader = Prefetched(made, CPU, stride=4, end=14)
    numbers_of(loader[range(4)])
    loader._thread.submit(int).result()
    assert made.made == [range(4), range(4, 8), range(8, 12)]
    loader.close()
    assert made.closed


def test_once_it_has_stopped_the_loader_is_free_and_open() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Numbers):
        def __getitem__(self, samples: range) -> Batch:
            if samples.start:
                entered.set()
                leave.wait(60)
            return super().__getitem__(samples)

    made = Slow()
    loader = Prefetched(made, CPU, stride=4, end=100)
    numbers_of(loader[range(4)])
    assert entered.wait(60)
    threading.Timer(0.05, leave.set).start()
    loader.stop()
    assert made.made == [range(4), range(4, 8)]
    assert not made.closed
    loader.close()
    assert made.closed


def test_an_error_is_raised_at_its_batch() -> None:
    loader = Prefetched(Numbers(fails=10), CPU, stride=4, end=100)
    assert numbers_of(loader[range(4)]) == [0, 1, 2, 3]
    assert numbers_of(loader[range(4, 8)]) == [4, 5, 6, 7]
    with pytest.raises(DataError, match="sample 10"):
        loader[range(8, 12)]
    loader.close()


def test_its_thread_ends_with_it() -> None:
    loader = Prefetched(Numbers(), CPU, stride=4, end=100)
    loader[range(4)]
    loader.close()
    assert not loader._thread._threads or not any(thread.is_alive() for thread in loader._thread._threads)
