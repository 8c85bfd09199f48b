"""Joining the other ranks; what they do together is tested where they do it (tests/stages/navigate/test_ranks.py)."""

from __future__ import annotations

from typing import NoReturn

import pytest
import torch
import torch.distributed as dist

from copgen.distributed import ranks
from copgen.distributed.ranks import Ranks, joined
from copgen.runtime.errors import EnvironmentFault

CPU = torch.device("cpu")


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


def test_one_alone_joins_nobody() -> None:
    with joined(CPU) as (found, device):
        assert (found, device) == (Ranks(), CPU)


@pytest.mark.usefixtures("second_of_two")
def test_a_rank_that_dies_while_the_others_connect_is_no_fault_of_copgen(monkeypatch: pytest.MonkeyPatch) -> None:
    def reset(*args: object, **kwargs: object) -> NoReturn:
        raise dist.DistNetworkError("Connection reset by peer\nException raised from ...")

    monkeypatch.setattr(dist, "init_process_group", reset)
    monkeypatch.setattr(ranks, "AGENT_S", 0.0)
    with pytest.raises(EnvironmentFault, match=r"^Rank 1 .*: Connection reset by peer\. .*same command"):
        joined(CPU).__enter__()


@pytest.mark.usefixtures("second_of_two")
def test_ranks_without_a_device_each_are_refused_on_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(EnvironmentFault, match="2 processes need a CUDA device each; there are 1"):
            joined(torch.device("cuda")).__enter__()
