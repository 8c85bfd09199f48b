"""Out of memory in an update: which batch is advised, and where none can be tried."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.distributed.ranks import Ranks
from copgen.runtime.errors import EnvironmentFault, ExitCode
from copgen.stages.pretrain.learner import Learner
from copgen.stages.pretrain.stage import learn, new_run
from tests.stages.pretraining import K, pretrain_settings


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each batch that f was to pass; no more than eight fit, and nothing else may be using the loader."""
    rows: list[int] = []
    losses = Learner.losses

    def crowded(self: Learner, seen: Sequence[Tensor], labels: Tensor | None) -> dict[str, Tensor]:
        rows.append(len(seen[0]))
        if len(rows) > 1:
            assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
        if len(seen[0]) * self.ranks.world > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return losses(self, seen, labels)

    monkeypatch.setattr(Learner, "losses", crowded)
    return rows


def fault(folder: Path, out: Path, *, world: int = 1, **changes: Any) -> EnvironmentFault:
    """The error of a run of two ranks, of which this process runs the first without the other."""
    settings = pretrain_settings(folder, **changes)
    with (
        pytest.raises(EnvironmentFault, match=rf"out of memory with a batch of {K}\.") as caught,
        new_run(settings, out, device="cpu", ranks=Ranks(world=world)) as run,
    ):
        learn(settings, run)
    assert caught.value.code == ExitCode.ENVIRONMENT
    return caught.value


def test_one_process_tries_small_batches(pretrain_pairs: Path, tmp_path: Path, passed: list[int]) -> None:
    error = fault(pretrain_pairs, tmp_path / "run")
    assert passed == [K, 4, 4, 8]
    assert "--batch" in error.fix or "smaller model" in error.fix  # the peaks of so small a network may be equal
    assert "--chunk" in error.fix


def test_one_of_several_ranks_tries_nothing(pretrain_pairs: Path, tmp_path: Path, passed: list[int]) -> None:
    error = fault(pretrain_pairs, tmp_path / "run", world=2)
    assert passed == [K // 2]
    assert "--batch" in error.fix


def test_with_chunks_it_is_these_that_are_too_large(pretrain_pairs: Path, tmp_path: Path, passed: list[int]) -> None:
    error = fault(pretrain_pairs, tmp_path / "run", chunk=4)
    assert passed == [K]
    assert "smaller --chunk" in error.fix
    assert "--batch" not in error.fix
