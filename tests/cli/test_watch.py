"""`--watch` and `--port`: what they print, and what they refuse."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from copgen.runtime.errors import ExitCode
from copgen.stages.report.watching import watch_run
from copgen.storage.processes import identity
from copgen_cli.curves import BLOCKS, Curves, History
from tests.cli.command import copgen
from tests.report.page import made


def test_navigate_says_where_it_is_watched(here: Path, weights: Path) -> None:
    ended = copgen("navigate", "--weights", weights, "--samples", 64, "--batch", 64, "--watch")
    assert ended.code == ExitCode.DONE, ended.err
    assert re.search(r"http://127\.0\.0\.1:\d+/[\w-]{22,}/\n", ended.err)


def test_pretrain_says_where_it_is_watched(here: Path) -> None:
    ended = copgen("pretrain", "--dataset", "digits", "--updates", 1, "--batch", 16, "--watch")
    assert ended.code == ExitCode.DONE, ended.err
    assert re.search(r"http://127\.0\.0\.1:\d+/[\w-]{22,}/\n", ended.err)


COMMANDS = ["navigate --samples 64 --batch 64", "pretrain --dataset digits --updates 1 --batch 16", "report run"]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_taken_port(line: str, here: Path) -> None:
    run = made.navigate_run(here / "run", checks=2, finished=False)
    (run / "LOCK").write_text(json.dumps(identity()))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = copgen(*line.split(), "--watch", "--port", port)
    assert ended.code == ExitCode.ENVIRONMENT
    assert str(port) in ended.err
    assert not (here / "runs").exists()


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize(("words", "named"), [("--port 8000", "--watch"), ("--watch --port 70000", "70000")])
def test_ports_that_are_not_meant(words: str, named: str, line: str, here: Path) -> None:
    run = made.navigate_run(here / "run", checks=2, finished=False)
    (run / "LOCK").write_text(json.dumps(identity()))
    ended = copgen(*line.split(), *words.split())
    assert ended.code == ExitCode.USAGE
    assert named in ended.err


def test_a_run_of_another_machine_is_not_watched(here: Path) -> None:
    run = made.navigate_run(here / "run", checks=2, finished=False)
    (run / "LOCK").write_text(json.dumps({**identity(), "machine": "another"}))
    ended = copgen("report", "--watch", "run")
    assert ended.code == ExitCode.USAGE
    assert "another machine" in ended.err
    assert "copgen report run" in ended.err


def test_several_seeds_are_not_watched(here: Path) -> None:
    assert copgen("navigate", "--seeds", 2, "--watch").code == ExitCode.USAGE


@pytest.mark.parametrize("words", ["run run --watch", "run --watch --out a"])
def test_a_report_that_is_watched_is_of_one_run_and_writes_nothing(words: str, here: Path) -> None:
    made.navigate_run(here / "run", checks=2)
    assert copgen("report", *words.split()).code == ExitCode.USAGE


def test_a_run_that_nobody_writes_is_not_watched(here: Path) -> None:
    run = made.navigate_run(here / "run", checks=2)
    for lock in ("999999999\n", "not a number", "", json.dumps({**identity(), "process": 1, "started": 1})):
        (run / "LOCK").write_text(lock)
        ended = copgen("report", "--watch", "run")
        assert ended.code == ExitCode.USAGE
        assert "copgen report run" in ended.err
    assert copgen("report", "--watch", "nothing").code == ExitCode.DATA


def test_a_run_of_another_process_is_watched_to_its_end(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run", checks=2, finished=False)
    (run / "LOCK").write_text(json.dumps(identity()))
    told: list[str] = []

    class Told:
        def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None: ...
        def advance(self, done: int, values: object) -> None: ...
        def end(self) -> None: ...
        def warn(self, text: str) -> None: ...
        def say(self, text: str) -> None:
            told.append(text)

    found: dict[str, object] = {}
    thread = threading.Thread(target=lambda: found.update(watch_run(run, events=Told())))
    thread.start()
    until = time.monotonic() + 60
    while not told:
        assert time.monotonic() < until
        time.sleep(0.05)
    with urlopen(told[0].rpartition(" ")[2], timeout=60) as answer:
        assert b"still running" in answer.read()
    made.finish(run, samples=2000, chance=5.5, colour=False)
    (run / "LOCK").unlink()
    thread.join(60)
    assert found == {"run": str(run), "finished": True}


def test_curves_below_the_bar() -> None:
    curves = Curves(delta=0.05, unicode=True)
    for k in range(200):
        loss = 5.0 - k / 100
        curves.take({"loss_encoder": loss, "loss_navigator": loss + 0.1, "chance": 5.54, "d_mean": k * 2e-4})
    curves.take({"rule_delta": 0.5, "rule_loss_turn": 0.0, "rule_band": 2.0})
    losses, d, stop = curves.lines()
    falling = "".join(reversed(BLOCKS))
    shown = re.findall(f"[{BLOCKS}]+", losses)
    assert [len(one) for one in shown] == [24, 24]
    assert [falling.index(one) for one in shown[0]] == sorted(falling.index(one) for one in shown[0])
    assert "3.010" in losses
    assert "T_z" in losses
    assert "chance 5.540" in losses
    assert "0.0398" in d
    assert "80 %" in d
    assert [one for one in ("delta", "50 %") if one in stop] == ["delta", "50 %"]
    assert "loss-turn" in stop
    assert "200 %" in stop


def test_curves_where_both_players_share_a_loss_and_the_terminal_has_no_blocks() -> None:
    curves = Curves(delta=None, unicode=False)
    assert [*curves.lines()] == []
    curves.take({"loss_encoder": 5.0, "loss_navigator": 5.0, "d_mean": 0.01})
    text = "\n".join(curves.lines())
    assert "f, T_z" in text
    assert text.isascii()


def test_the_history_of_a_long_run_stays_short() -> None:
    history = History()
    for k in range(100_000):
        history.add(float(k))
    assert len(history.values) < 512
    assert history.spark(8, unicode=True) == BLOCKS
