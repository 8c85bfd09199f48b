"""A small generator, and ways to run a stage, interrupt it, kill it, and look at what it left."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from copgen.generators.residual_flow import FlowConfig, ResidualFlow
from copgen.generators.residual_flow.generator import save_flow
from copgen.latents.prior import Prior
from copgen.runtime.errors import ExitCode, Stopped
from copgen.runtime.events import Events, Silent
from copgen.runtime.seeds import seeded
from copgen.stages.navigate.settings import NavigateSettings
from copgen.training.checkpoints import Checkpoints
from copgen.training.metrics import read_metrics

FLOW = FlowConfig(blocks=(0,), linear_blocks=2, linear_width=16, coeff=0.9, logit_alpha=0.05)
Stage = Callable[[Path, Events], dict[str, Any]]


def write_flow(path: Path, *, seed: int = 0) -> Path:
    """The weights file of an untrained flow with 64 latent coordinates, which loads as the generator 'digits'."""
    with seeded(seed, "tests/flow"):
        flow = ResidualFlow(FLOW)
        flow.power_iterate(30)
    save_flow(path, flow, prior=Prior(), made_by={"stage": "a test"})
    return path


def navigate_settings(weights: Path, **changes: object) -> NavigateSettings:
    """Eight updates of eight pairs at learning rates that show within them, unless changed."""
    fields = {
        "generator": "digits",
        "weights": weights,
        "samples": 64,
        "batch": 8,
        "lr_navigator": 1e-2,
        "lr_encoder": 1e-3,
        "views": "mnist",
        "encoder": "digits",
        "projector": (16, 8),
        "checkpoint_every": 3,
        "device": "cpu",
    }
    return NavigateSettings.model_validate({**fields, **changes})


class Recorder(Silent):
    """Records all events."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int, str, int]] = []
        self.advances: list[int] = []
        self.sentences: list[str] = []
        self.warnings: list[str] = []

    def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None:
        self.tasks.append((title, total, unit, done))

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        self.advances.append(done)

    def say(self, text: str) -> None:
        self.sentences.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class At(Silent):
    """A listener that does something once, when `done` units are reached."""

    def __init__(self, done: int, act: Callable[[], Any]) -> None:
        self.done = done
        self.act = act
        self.acted = False

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        if done >= self.done and not self.acted:
            self.acted = True
            self.act()


def send(number: signal.Signals) -> None:
    """Send this thread a signal, which has come when this returns."""
    signal.raise_signal(number)


def interrupted(stage: Stage, out: Path, at: Sequence[int], number: signal.Signals = signal.SIGTERM) -> dict[str, Any]:
    """Run a stage, stopped by a signal at each of these numbers of units, to its end; returns its summary."""
    code = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.STOPPED
    for done in at:
        with pytest.raises(Stopped) as caught:
            stage(out, At(done, lambda: send(number)))
        assert caught.value.code == code
    return stage(out, Silent())


def killed(stage: Stage, out: Path, at: int) -> dict[str, Any]:
    """Run a stage that crashes at a number of units without saving, and resume from what was on disk."""
    elsewhere = out.with_name(out.name + "-alive")
    copy = At(at, lambda: shutil.copytree(elsewhere, out))
    stage(elsewhere, copy)
    assert copy.acted
    return stage(out, Silent())


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics without the time they took."""
    lines = read_metrics(folder / "metrics.jsonl")
    return [{name: value for name, value in line.items() if name not in ("seconds", "data_wait")} for line in lines]


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def newest(folder: Path) -> dict[str, Any]:
    """The state in the newest checkpoint of a run."""
    saved = Checkpoints(folder / "checkpoints").newest(Silent())
    assert saved is not None
    state: dict[str, Any] = saved["state"]
    return state


def assert_same_run(folder: Path, straight: Path, artefact: str) -> None:
    """Artefact and summary are equal bytes, the metrics equal except for times, and no temporary files remain."""
    for name in (artefact, "summary.json", "config.toml"):
        assert (folder / name).read_bytes() == (straight / name).read_bytes(), name
    assert metrics(folder) == metrics(straight)
    strays = [path for path in folder.rglob("*") if path.name.endswith(".partial") or path.name == "LOCK"]
    assert strays == []
