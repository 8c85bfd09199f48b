"""What the tests of the stages share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from copgen.stages.navigate.stage import navigate
from copgen.stages.pretrain.stage import pretrain
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from copgen.training import loop
from copgen.training.metrics import DeviceMetrics, UpdateMetrics
from tests.stages.navigating import of_kind
from tests.stages.pretraining import KINDS, PAIRS, pretrain_settings


@pytest.fixture
def updates_per_read(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Of how many updates metrics are read at once, where the CPU reads them as seldom as CUDA does."""
    monkeypatch.setitem(loop.READ_EVERY, "cpu", loop.READ_EVERY["cuda"])
    found: set[int] = set()
    read = DeviceMetrics.read

    def watched(self: DeviceMetrics) -> list[UpdateMetrics]:
        metrics = read(self)
        found.update({len(metrics)} - {0})
        return metrics

    monkeypatch.setattr(DeviceMetrics, "read", watched)
    return found


@pytest.fixture(scope="session")
def navigated(flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an uninterrupted run of each kind; nobody writes into it."""
    folders: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind) / "run"
            navigate(of_kind(flow, kind), out=folders[kind])
        return folders[kind]

    return folder


@pytest.fixture(scope="session")
def pretrain_pairs(flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pairs folder of two shards; read-only."""
    out = tmp_path_factory.mktemp("sample") / "pairs"
    fields = {"generator": "digits", "weights": flow, "n": PAIRS, "transform": "gaussian", "std": 0.1}
    sample(SampleSettings.model_validate({**fields, "batch": 40, "pairs_per_shard": 50, "device": "cpu"}), out=out)
    return out


@pytest.fixture(scope="session")
def straight_pretrain(pretrain_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an uninterrupted run of each kind; nobody writes into it."""
    runs: dict[str, Path] = {}

    def run(kind: str) -> Path:
        if kind not in runs:
            runs[kind] = tmp_path_factory.mktemp("pretrain") / "run"
            pretrain(pretrain_settings(pretrain_pairs, **KINDS[kind]), out=runs[kind])
        return runs[kind]

    return run
