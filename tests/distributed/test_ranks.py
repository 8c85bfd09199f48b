"""Joining the other ranks; what they do together is tested where they do it (tests/stages/navigate/test_ranks.py)."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import NoReturn

import pytest
import torch
import torch.distributed as dist

from copgen.distributed import ranks
from copgen.distributed.ranks import Ranks, joined
from copgen.runtime.errors import EnvironmentFault, ExitCode, UsageError
from copgen.runtime.signals import EndedEarly, raising_on_signals

CPU = torch.device("cpu")


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(listener.getsockname()[1])}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's handler of SIGINT: what a shell starts in the background ignores that signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


@pytest.mark.usefixtures("second_of_two", "interruptible")
@pytest.mark.parametrize("rank", ["0", "1"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_for_the_others(
    monkeypatch: pytest.MonkeyPatch, rank: str, number: signal.Signals
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(ranks, "PATIENCE", timedelta(seconds=8))
    timer = threading.Timer(0.5, signal.raise_signal, [number])
    timer.start()
    with (
        raising_on_signals(),
        pytest.raises(EndedEarly if number is signal.SIGTERM else KeyboardInterrupt) as caught,
    ):
        joined(CPU).__enter__()
    if isinstance(caught.value, EndedEarly):
        assert caught.value.error.code is ExitCode.STOPPED
    waiting = [thread for thread in threading.enumerate() if thread.name == "rendezvous"]
    assert waiting  # the signal did not come after the wait
    for thread in waiting:
        thread.join()


@pytest.mark.usefixtures("second_of_two")
@pytest.mark.parametrize("name", ["MASTER_ADDR", "MASTER_PORT"])
def test_ranks_that_cannot_meet_are_refused_at_once_by_each_of_them(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(UsageError, match=name) as caught:
        joined(CPU).__enter__()
    assert caught.value.of_one_rank
