"""Ranks under torchrun's agent: who has the word, and what a signal does."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch.distributed

from copgen.distributed.launch import HERE, launch, shared_store
from copgen.runtime.errors import CopgenError, EnvironmentFault, ExitCode
from tests.distributed import in_ranks

RANK = in_ranks.__name__


def test_the_first_rank_has_the_word_though_another_failed_before(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "${local_rank}").mkdir()
    before = signal.getsignal(signal.SIGTERM)
    assert launch(RANK, ["argue", str(tmp_path / "${local_rank}")], 2) == ExitCode.ENVIRONMENT
    assert capfd.readouterr() == ("rank 0 of 2: argue\n", "")
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_port_that_an_earlier_launch_had_serves_again(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed: Any = torch.distributed  # exports TCPStore untyped
    earlier = shared_store()
    port = earlier.port
    del earlier
    listen = socket.create_server
    monkeypatch.setattr(socket, "create_server", lambda address: listen((address[0], port)))
    store = shared_store()
    open_here = partial(distributed.TCPStore, HERE, store.port, is_master=True, multi_tenant=True)
    open_here(wait_for_workers=False).set("said", "by another")
    assert store.port == port
    assert store.get("said") == b"by another"


def test_a_rank_that_is_gone_before_the_others_have_met_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="Rank 1 was ended by SIGKILL"):
        launch(RANK, ["vanish", str(tmp_path)], 2)


def test_the_error_of_another_is_told_where_the_first_rank_cannot(tmp_path: Path) -> None:
    with pytest.raises(CopgenError, match=r"^Row 3 is torn\. Fix it\.$") as told:
        launch(RANK, ["confess", str(tmp_path)], 2)
    assert told.value.code == ExitCode.DATA


def test_a_signal_that_came_too_early_for_a_stage_is_told(tmp_path: Path) -> None:
    def interrupt() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(CopgenError, match="SIGTERM ended the ranks before they had saved") as told:
        launch(RANK, ["wait", str(tmp_path)], 2)
    assert told.value.code == ExitCode.STOPPED
