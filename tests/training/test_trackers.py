"""Metrics in TensorBoard and trackio: those of the file, once for each update, also after a resume."""

from __future__ import annotations

import resource
import signal
import sys
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from copgen.runtime.errors import EnvironmentFault, Stopped
from copgen.stages.pretrain.stage import pretrain
from copgen.training.trackers import open_tracker
from tests.stages.pretraining import K, pretrain_settings
from tests.stages.small import At, metrics, send


def test_tensorboard_shows_the_metrics_of_the_file_also_after_a_resume(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = pretrain_settings(tmp_path, pairs=None, dataset="digits", updates=6, track="tensorboard")
    with pytest.raises(Stopped):
        pretrain(settings, out=tmp_path / "run", events=At(3 * K, lambda: send(signal.SIGTERM)))
    pretrain(settings, out=tmp_path / "run")
    found = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    logged = [(event.step, event.value) for event in found.Scalars("loss")]
    expected = [(line["update"], line["loss"]) for line in metrics(tmp_path / "run")]
    assert [step for step, _ in logged] == [step for step, _ in expected] == [1, 2, 3, 4, 5, 6]
    assert [value for _, value in logged] == pytest.approx([value for _, value in expected], rel=1e-6)
    assert "chance" in found.Tags()["scalars"]


class Stub:
    """Takes the place of trackio, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def init(self, project: str, **how: Any) -> Any:
        print("trackio is here")
        self.told.append((project, how["name"], how["resume"], how["config"]["lr"]))
        return SimpleNamespace(log=lambda values, step: self.told.append((step, values)), finish=self.finish)

    def finish(self) -> None:
        print("trackio is done")
        self.told.append("finished")


def test_trackio_gets_each_update_and_keeps_stdout_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = Stub()
    monkeypatch.setitem(sys.modules, "trackio", stub)
    tracker = open_tracker("trackio", tmp_path, {"lr": 0.1}, done=2)
    tracker.log(3, {"loss": 1.5})
    tracker.close()
    assert stub.told == [("copgen", str(tmp_path), "allow", "0.1"), (3, {"loss": 1.5}), "finished"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_a_missing_package_is_named_with_the_way_to_get_it(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, {"tensorboard": "torch.utils.tensorboard"}.get(name, name), None)
    with pytest.raises(EnvironmentFault, match=rf"copgen\[{name}\]"):
        open_tracker(name, tmp_path, {}, done=0)


def test_a_disk_that_is_full_is_named_without_a_traceback(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard")
    hook = threading.excepthook
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))
    try:
        tracker = open_tracker("tensorboard", tmp_path, {"lr": 0.1}, done=0)
        with pytest.raises(EnvironmentFault, match=r"disk is full.*tensorboard"), closing(tracker):
            tracker.log(1, {f"loss {k}": 1.0 for k in range(50)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert threading.excepthook is hook
    assert "Traceback" not in capfd.readouterr().err
