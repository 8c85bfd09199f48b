"""Navigate resumes after an interruption as if there had been none."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from copgen.runtime.errors import ExitCode, Stopped
from copgen.stages.navigate.stage import navigate
from copgen.storage.files import read_json
from tests.stages.navigating import ARTEFACT, KINDS, K, as_stage, assert_equal_weights, of_kind, weights
from tests.stages.small import (
    At,
    Recorder,
    assert_same_run,
    files,
    interrupted,
    killed,
    metrics,
    navigate_settings,
    send,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [(1,), (3,), (2, 4)])
def test_a_run_that_a_signal_interrupts_ends_as_a_straight_one(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path], kind: str, at: tuple[int, ...]
) -> None:
    summary = interrupted(as_stage(of_kind(flow, kind)), tmp_path / "run", [K * update for update in at])
    assert_same_run(tmp_path / "run", navigated(kind), ARTEFACT)
    assert summary == read_json(navigated(kind) / "summary.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [2, 5])
def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path], kind: str, at: int
) -> None:
    killed(as_stage(of_kind(flow, kind)), tmp_path / "run", K * at)
    assert_same_run(tmp_path / "run", navigated(kind), ARTEFACT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_before_its_artefact_is_written_ends_the_same(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path], kind: str
) -> None:
    shutil.copytree(navigated(kind), tmp_path / "run")
    for name in (ARTEFACT, "summary.json"):
        (tmp_path / "run" / name).unlink()
    navigate(of_kind(flow, kind), out=tmp_path / "run")
    assert_same_run(tmp_path / "run", navigated(kind), ARTEFACT)


def test_pictures_and_snapshots_do_not_depend_on_interruptions(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path]
) -> None:
    interrupted(as_stage(of_kind(flow, "alternating")), tmp_path / "run", [3 * K, 4 * K])
    for name in ("previews", "snapshots"):
        expected = files(navigated("alternating") / name)
        assert len(expected) >= 2
        assert files(tmp_path / "run" / name) == expected


def test_what_may_change_when_a_run_goes_on_does_not_change_its_navigator(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path]
) -> None:
    settings = of_kind(flow, "simultaneous")
    with pytest.raises(Stopped):
        navigate(settings, out=tmp_path, events=At(3 * K, partial(send, signal.SIGTERM)))
    other = settings.model_copy(update={"checkpoint_every": 1, "preview_every": 16, "snapshot_every": 16})
    navigate(other, out=tmp_path)
    assert_equal_weights(weights(tmp_path), weights(navigated("simultaneous")))


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, ExitCode.STOPPED), (signal.SIGUSR2, ExitCode.STOPPED), (signal.SIGINT, ExitCode.INTERRUPTED)],
)
def test_a_signal_stops_the_run_between_two_updates(
    flow: Path, tmp_path: Path, number: signal.Signals, code: ExitCode
) -> None:
    with pytest.raises(Stopped) as caught:
        navigate(navigate_settings(flow), out=tmp_path, events=At(2 * K, partial(send, number)))
    assert caught.value.code == code
    assert [line["update"] for line in metrics(tmp_path)] == [1, 2]
    events = Recorder()
    navigate(navigate_settings(flow), out=tmp_path, events=events)
    assert events.tasks == [("navigate", 8 * K, "samples", 2 * K)]
    assert events.advances == [K * update for update in range(3, 9)]


def test_a_signal_during_the_last_update_does_not_undo_it(flow: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped, match="after update 8 of 8"):
        navigate(navigate_settings(flow), out=tmp_path, events=At(8 * K, partial(send, signal.SIGTERM)))
    summary = navigate(navigate_settings(flow), out=tmp_path)
    assert summary["updates"] == 8
    assert (tmp_path / ARTEFACT).exists()


def test_a_damaged_checkpoint_is_passed_over(flow: Path, tmp_path: Path, navigated: Callable[[str], Path]) -> None:
    settings = of_kind(flow, "simultaneous")
    with pytest.raises(Stopped):
        navigate(settings, out=tmp_path, events=At(7 * K, partial(send, signal.SIGTERM)))
    newest = max((tmp_path / "checkpoints").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    events = Recorder()
    navigate(settings, out=tmp_path, events=events)
    assert events.tasks[0][3] == 6 * K
    assert newest.name in events.warnings[0]
    assert_same_run(tmp_path, navigated("simultaneous"), ARTEFACT)
