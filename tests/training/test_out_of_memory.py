"""What an error about too little memory advises."""

from __future__ import annotations

import pytest
import torch

from copgen.runtime import memory
from copgen.runtime.errors import EnvironmentFault
from copgen.training.out_of_memory import explained

CPU = torch.device("cpu")


def advice(*, tried: list[int] | None, remedy: str) -> EnvironmentFault:
    """The error of a batch of 64 on two processes; `tried` receives the batches of one process that were tried."""
    error = torch.OutOfMemoryError("CUDA out of memory.")
    update = None if tried is None else tried.append
    return explained(error, update, CPU, batch=64, world=2, parts={}, remedy=remedy)


def test_what_can_be_tried_gives_the_batch_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def peak(call: object, device: torch.device) -> int:
        assert callable(call)
        call()
        return 100 * tried[-1]

    monkeypatch.setattr(memory, "peak_of", peak)
    monkeypatch.setattr(memory, "free", lambda _: 1000)
    assert advice(tried=tried, remedy="use less").fix == "Lower --batch to about 18, or use less."
    assert tried == [4, 4, 8]


def test_without_a_trial_the_remedies_are_all() -> None:
    error = advice(tried=None, remedy="lower --batch, or use less")
    assert error.fix == "Lower --batch, or use less."
    assert "batch of 64" in error.what
