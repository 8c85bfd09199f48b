"""Navigate: non-finite losses, and invalid settings, weights and folders."""

from __future__ import annotations

import json
import math
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from copgen.objectives import info_nce
from copgen.runtime.errors import CopgenError, DataError, Diverged, EnvironmentFault, ExitCode, Stopped, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.settings import build, resolve
from copgen.stages.navigate import players as game
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import estimate, navigate
from copgen.storage.files import read_json
from tests.stages.navigating import ARTEFACT, K, of_kind
from tests.stages.small import (
    At,
    assert_same_run,
    files,
    navigate_settings,
    send,
    write_flow,
)

# Losses that are no numbers


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("update_rule", "calls", "names"),
    [
        ("simultaneous", 6, "loss_encoder"),
        ("alternating", 11, "loss_encoder"),
        ("alternating", 12, "loss_navigator"),
    ],
)
def test_a_loss_that_is_not_finite_ends_the_run_before_anything_is_updated_with_it(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, update_rule: str, calls: int, names: str
) -> None:
    settings = navigate_settings(flow, update=update_rule, checkpoint_every=5)
    with pytest.raises(Stopped):
        navigate(settings, out=tmp_path, events=At(5 * K, partial(send, signal.SIGTERM)))
    before = files(tmp_path / "checkpoints")
    left = calls - (5 if update_rule == "simultaneous" else 10)
    count = iter(range(1, 100))

    def poisoned(h: Tensor, h_pos: Tensor, **settings: Any) -> Tensor:
        loss = info_nce(h, h_pos, **settings)
        return loss * value if next(count) == left else loss

    with monkeypatch.context() as patch:
        patch.setattr(game, "info_nce", poisoned)
        with pytest.raises(Diverged, match=f"{names} is (nan|inf) at update 6") as caught:
            navigate(settings, out=tmp_path)
    assert caught.value.code == ExitCode.DIVERGED
    assert files(tmp_path / "checkpoints") == before
    assert not (tmp_path / ARTEFACT).exists()
    navigate(settings, out=tmp_path)
    navigate(settings, out=tmp_path / "straight")
    assert_same_run(tmp_path, tmp_path / "straight", ARTEFACT)


@pytest.mark.parametrize("rate", ["lr_encoder", "lr_navigator"])
def test_a_huge_learning_rate_ends_as_divergence(flow: Path, tmp_path: Path, rate: str) -> None:
    settings = navigate_settings(flow, checkpoint_every=1, **{rate: 1e38})
    with pytest.raises(Diverged) as caught:
        navigate(settings, out=tmp_path)
    assert caught.value.code == ExitCode.DIVERGED


def test_weights_that_are_not_finite_are_never_saved(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def infinite_slope(h: Tensor, h_pos: Tensor, **settings: Any) -> Tensor:
        return info_nce(h, h_pos, **settings) + (0.0 * h).sum().sqrt()

    settings = navigate_settings(flow, checkpoint_every=2)
    with pytest.raises(Stopped):
        navigate(settings, out=tmp_path, events=At(2 * K, partial(send, signal.SIGTERM)))
    before = files(tmp_path / "checkpoints")
    monkeypatch.setattr(game, "info_nce", infinite_slope)
    with pytest.raises(Diverged):
        navigate(settings, out=tmp_path)
    assert files(tmp_path / "checkpoints") == before


# What it refuses


def test_a_finished_run_returns_its_summary_and_computes_nothing(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(navigated("simultaneous"), tmp_path / "run")
    before = files(tmp_path / "run")
    monkeypatch.setattr(game, "info_nce", None)
    summary = navigate(of_kind(flow, "simultaneous"), out=tmp_path / "run")
    assert summary == read_json(navigated("simultaneous") / "summary.json")
    assert files(tmp_path / "run") == before


@pytest.mark.parametrize("finished", [True, False])
def test_changed_settings_are_refused_with_the_difference(flow: Path, tmp_path: Path, finished: bool) -> None:
    settings = navigate_settings(flow)
    events: Events = Silent()
    if not finished:
        events = At(2 * K, partial(send, signal.SIGTERM))
    try:
        navigate(settings, out=tmp_path, events=events)
    except Stopped:
        assert not finished
    before = files(tmp_path)
    with pytest.raises(UsageError, match=r"temperature: 0\.1 -> 0\.5; views: mnist -> none") as caught:
        navigate(settings.model_copy(update={"temperature": 0.5, "views": "none"}), out=tmp_path)
    assert caught.value.code == ExitCode.USAGE
    assert "--overwrite" in caught.value.fix
    assert files(tmp_path) == before


def test_other_weights_under_the_same_path_are_refused(flow: Path, tmp_path: Path) -> None:
    place = tmp_path / "flow.safetensors"
    shutil.copy(flow, place)
    settings = navigate_settings(place)
    navigate(settings, out=tmp_path / "run")
    write_flow(place, seed=1)
    with pytest.raises(UsageError, match="sha256 of the generator"):
        navigate(settings, out=tmp_path / "run")


def test_overwrite_starts_from_scratch(flow: Path, tmp_path: Path, navigated: Callable[[str], Path]) -> None:
    navigate(navigate_settings(flow, seed=5, samples=200, snapshot_every=40, preview_every=40), out=tmp_path)
    navigate(of_kind(flow, "simultaneous"), out=tmp_path, overwrite=True)
    assert_same_run(tmp_path, navigated("simultaneous"), ARTEFACT)
    assert not (tmp_path / "snapshots").exists()
    previews = {path.name for path in (tmp_path / "previews").iterdir()}
    assert previews == {"baselines.png", "final.png", "samples-0000000000.png"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"generator": "digit"}, "no generator 'digit'. Did you mean 'digits'"),
        ({"views": "mnis"}, "no view policy 'mnis'. Did you mean 'mnist'"),
        ({"views": "simclr"}, "normalises 3 channels; the images have 1"),
        ({"views": "infomin"}, "'infomin' is not differentiable"),
        ({"encoder": "digts"}, "no encoder 'digts'. Did you mean 'digits'"),
        ({"device": "gpu"}, "'gpu' is not a device"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_invalid_settings_are_refused_and_change_nothing(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path], changes: dict[str, str], says: str, overwrite: bool
) -> None:
    if overwrite:
        shutil.copytree(navigated("simultaneous"), tmp_path / "run")
    before = files(tmp_path)
    with pytest.raises(UsageError, match=says):
        navigate(navigate_settings(flow, **changes), out=tmp_path / "run", overwrite=overwrite)
    assert files(tmp_path) == before


def test_weights_that_are_no_generator_are_refused(flow: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(flow.read_bytes()[:-10])
    for path in (tmp_path / "nowhere.safetensors", cut):
        with pytest.raises(DataError, match=path.name) as caught:
            navigate(navigate_settings(path), out=tmp_path / "run")
        assert caught.value.code == ExitCode.DATA
    assert not (tmp_path / "run").exists()


def foreign_folder(place: Path) -> Path:
    place.mkdir()
    (place / "thesis.tex").write_text("all my work")
    return place


def run_of_another_stage(place: Path) -> Path:
    place.mkdir()
    (place / "config.toml").write_text('stage = "pretrain"\n')
    return place


def file(place: Path) -> Path:
    place.write_text("no folder")
    return place


def below_a_file(place: Path) -> Path:
    return file(place) / "run"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make", [foreign_folder, run_of_another_stage, file, below_a_file])
def test_a_folder_that_is_not_ours_to_write_is_left_alone(
    flow: Path, tmp_path: Path, make: Callable[[Path], Path], overwrite: bool
) -> None:
    out = make(tmp_path / "out")
    before = files(tmp_path)
    with pytest.raises(EnvironmentFault, match="out") as caught:
        navigate(navigate_settings(flow), out=out, overwrite=overwrite)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stop": "delta"}, "^navigate: stop = 'delta' needs a value for delta.$"),
        ({"samples": 0}, "samples = 0"),
        ({"batch": 1}, "batch = 1"),
        ({"samples": 10.5}, r"samples = 10\.5"),
        ({"delta": -0.1, "stop": "delta"}, r"delta = -0\.1"),
        ({"delta_share": 0.0}, r"delta_share = 0\.0"),
        ({"lr_encoder": math.inf}, "lr_encoder = inf"),
        ({"betas": (0.5, 1.0)}, r"betas\.1 = 1\.0"),
        ({"projector": (0, 8)}, r"projector\.0 = 0"),
        ({"temperatur": 0.1}, "no setting 'temperatur'. Did you mean 'temperature'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_their_value(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(NavigateSettings, {"generator": "digits", "samples": 64, **changes}, origin="navigate")


def test_a_run_can_be_repeated_from_its_own_settings(flow: Path, navigated: Callable[[str], Path]) -> None:
    config = navigated("simultaneous") / "config.toml"
    settings = resolve(NavigateSettings, "navigate", recipe=None, config=config, flags={})
    assert settings == of_kind(flow, "simultaneous")


@pytest.mark.parametrize("samples", [K, 2 * K, 1000 * K])
def test_the_estimate_is_a_rehearsal_that_leaves_nothing_behind(
    flow: Path, temporary: Path, updates_per_read: set[int], samples: int
) -> None:
    found = estimate(navigate_settings(flow, samples=samples, stop="delta", delta=1e-6))
    assert set(found) == {"seconds", "memory_bytes", "disk_bytes"}
    assert updates_per_read == {1}
    assert all(0 < value < math.inf for value in found.values())
    assert list(temporary.iterdir()) == []


def test_the_estimated_disk_is_what_a_run_takes(flow: Path, tmp_path: Path) -> None:
    settings = navigate_settings(flow, samples=40 * K, snapshot_every=10 * K)
    navigate(settings, out=tmp_path)
    true = sum(map(len, files(tmp_path).values()))
    assert estimate(settings)["disk_bytes"] == pytest.approx(true, rel=0.1)


def test_errors_are_those_of_the_command_line(flow: Path, tmp_path: Path) -> None:
    navigate(navigate_settings(flow, samples=K), out=tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(CopgenError) as caught:
        navigate(navigate_settings(flow, samples=K), out=tmp_path)
    assert caught.value.code == ExitCode.DATA
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["update"] == 1
