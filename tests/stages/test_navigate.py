"""The stage navigate: what a run writes, when it ends, and how it goes on after an interruption."""

from __future__ import annotations

import json
import math
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from copgen import generators
from copgen.latents import load_navigator
from copgen.latents.navigator import load_navigator_with_header
from copgen.objectives import info_nce
from copgen.pairs.pixels import to_uint8
from copgen.runtime.errors import CopgenError, DataError, Diverged, EnvironmentFault, ExitCode, Stopped, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.files import read_json
from copgen.runtime.settings import build, resolve
from copgen.stages import navigate as stage
from copgen.stages.navigate import NavigateSettings, crosses, estimate, navigate, shift_statistics
from tests.stages.small import (
    At,
    Recorder,
    Stage,
    assert_same_run,
    files,
    interrupted,
    killed,
    metrics,
    navigate_settings,
    send,
    write_flow,
)

K = 8
ARTEFACT = "navigator.safetensors"
KINDS: dict[str, dict[str, object]] = {
    "simultaneous": {},
    "alternating": {"update": "alternating", "snapshot_every": 24, "preview_every": 40},
    "turn": {"stop": "turn", "samples": 1000, "turn_smoothing": 0.7, "turn_rise": 0.1, "lr_encoder": 1e-2},
    "delta": {"stop": "delta", "samples": 1000, "delta": 0.65},
}


def of_kind(flow: Path, kind: str) -> NavigateSettings:
    return navigate_settings(flow, **KINDS[kind])


def as_stage(settings: NavigateSettings) -> Stage:
    def run(out: Path, events: Events) -> dict[str, Any]:
        return navigate(settings, out=out, events=events)

    return run


def weights(folder: Path) -> dict[str, Tensor]:
    return load_navigator(folder).state_dict()


def assert_equal_weights(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.fixture(scope="module")
def straight(flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an uninterrupted run of each kind; nobody writes into it."""
    folders: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind) / "run"
            navigate(of_kind(flow, kind), out=folders[kind])
        return folders[kind]

    return folder


# Resuming


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [(1,), (3,), (2, 4)])
def test_a_run_that_a_signal_interrupts_ends_as_a_straight_one(
    flow: Path, tmp_path: Path, straight: Callable[[str], Path], kind: str, at: tuple[int, ...]
) -> None:
    summary = interrupted(as_stage(of_kind(flow, kind)), tmp_path / "run", [K * update for update in at])
    assert_same_run(tmp_path / "run", straight(kind), ARTEFACT)
    assert summary == read_json(straight(kind) / "summary.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [2, 5])
def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(
    flow: Path, tmp_path: Path, straight: Callable[[str], Path], kind: str, at: int
) -> None:
    killed(as_stage(of_kind(flow, kind)), tmp_path / "run", K * at)
    assert_same_run(tmp_path / "run", straight(kind), ARTEFACT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_before_its_artefact_is_written_ends_the_same(
    flow: Path, tmp_path: Path, straight: Callable[[str], Path], kind: str
) -> None:
    shutil.copytree(straight(kind), tmp_path / "run")
    for name in (ARTEFACT, "summary.json"):
        (tmp_path / "run" / name).unlink()
    navigate(of_kind(flow, kind), out=tmp_path / "run")
    assert_same_run(tmp_path / "run", straight(kind), ARTEFACT)


def test_pictures_and_snapshots_do_not_depend_on_interruptions(
    flow: Path, tmp_path: Path, straight: Callable[[str], Path]
) -> None:
    interrupted(as_stage(of_kind(flow, "alternating")), tmp_path / "run", [3 * K, 4 * K])
    for name in ("previews", "snapshots"):
        expected = files(straight("alternating") / name)
        assert len(expected) >= 2
        assert files(tmp_path / "run" / name) == expected


def test_what_may_change_when_a_run_goes_on_does_not_change_its_navigator(
    flow: Path, tmp_path: Path, straight: Callable[[str], Path]
) -> None:
    settings = of_kind(flow, "simultaneous")
    with pytest.raises(Stopped):
        navigate(settings, out=tmp_path, events=At(3 * K, partial(send, signal.SIGTERM)))
    other = settings.model_copy(update={"checkpoint_every": 1, "preview_every": 16, "snapshot_every": 16})
    navigate(other, out=tmp_path)
    assert_equal_weights(weights(tmp_path), weights(straight("simultaneous")))


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
    summary = navigate(navigate_settings(flow), out=tmp_path, events=At(8 * K, partial(send, signal.SIGTERM)))
    assert summary["updates"] == 8
    assert (tmp_path / ARTEFACT).exists()


def test_a_damaged_checkpoint_is_passed_over(flow: Path, tmp_path: Path, straight: Callable[[str], Path]) -> None:
    settings = of_kind(flow, "simultaneous")
    with pytest.raises(Stopped):
        navigate(settings, out=tmp_path, events=At(7 * K, partial(send, signal.SIGTERM)))
    newest = max((tmp_path / "checkpoints").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    events = Recorder()
    navigate(settings, out=tmp_path, events=events)
    assert events.tasks[0][3] == 6 * K
    assert newest.name in events.warnings[0]
    assert_same_run(tmp_path, straight("simultaneous"), ARTEFACT)


# When it ends


@pytest.mark.parametrize(("samples", "updates"), [(64, 8), (63, 7), (8, 1), (3, 1)])
def test_samples_are_drawn_in_whole_batches(flow: Path, tmp_path: Path, samples: int, updates: int) -> None:
    summary = navigate(navigate_settings(flow, samples=samples), out=tmp_path)
    assert (summary["ended_by"], summary["updates"], summary["samples"]) == ("samples", updates, updates * K)
    assert [line["samples"] for line in metrics(tmp_path)] == [K * (update + 1) for update in range(updates)]


@pytest.mark.parametrize("share", [1.0, 0.75])
def test_delta_returns_at_the_first_update_that_violates_it_and_learns_nothing_from_it(
    flow: Path, tmp_path: Path, share: float
) -> None:
    settings = navigate_settings(flow, samples=40 * K, delta=0.4, delta_share=share)
    navigate(settings, out=tmp_path / "watching")
    allowed = (1.0 - share) * K
    violations = [line["violations"] for line in metrics(tmp_path / "watching")]
    first = next(update for update, count in enumerate(violations) if count > allowed)
    assert 0 < first < 39
    assert share == 1.0 or any(0 < count <= allowed for count in violations[:first])

    summary = navigate(settings.model_copy(update={"stop": "delta"}), out=tmp_path / "delta")
    navigate(settings.model_copy(update={"samples": first * K}), out=tmp_path / "before")
    assert (summary["ended_by"], summary["updates"]) == ("delta", first)
    assert metrics(tmp_path / "delta") == metrics(tmp_path / "watching")[:first]
    assert_equal_weights(weights(tmp_path / "delta"), weights(tmp_path / "before"))


def test_the_share_is_met_exactly_when_it_is_met(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.9 of ten pairs are nine, though (1 - 0.9) * 10 < 1 in floating point.
    script = iter([0.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    real = shift_statistics

    def scripted(z: Tensor, z_pos: Tensor, *, delta: float | None) -> dict[str, float]:
        return {**real(z, z_pos, delta=delta), "violations": next(script)}

    monkeypatch.setattr(stage, "shift_statistics", scripted)
    settings = navigate_settings(flow, samples=70, batch=10, stop="delta", delta=1.0, delta_share=0.9)
    assert navigate(settings, out=tmp_path)["updates"] == 3


def test_a_navigator_that_violates_delta_from_the_start_is_returned_untrained(flow: Path, tmp_path: Path) -> None:
    settings = navigate_settings(flow, stop="delta", delta=1e-4, init="target_std", init_std=0.01)
    summary = navigate(settings, out=tmp_path)
    assert (summary["ended_by"], summary["samples"], summary["loss_smoothed"]) == ("delta", 0, None)
    assert summary["shift"]["shift_std"] == pytest.approx(0.01, rel=0.05)
    assert metrics(tmp_path) == []


def test_turn_returns_the_navigator_of_the_minimum(flow: Path, tmp_path: Path, straight: Callable[[str], Path]) -> None:
    summary = read_json(straight("turn") / "summary.json")
    lines = metrics(straight("turn"))
    smoothed = [line["loss_smoothed"] for line in lines]
    lowest = min(range(2, len(smoothed)), key=smoothed.__getitem__)  # the mean counts from the third update on
    assert summary["ended_by"] == "turn"
    assert summary["updates"] == len(lines) < 1000 // K
    assert summary["loss_minimum_samples"] == (lowest + 1) * K < summary["samples"]
    assert summary["loss_minimum"] == smoothed[lowest]
    assert smoothed[-1] > smoothed[lowest] + 0.1
    assert max(smoothed[lowest:-1]) <= smoothed[lowest] + 0.1
    short = of_kind(flow, "turn").model_copy(update={"stop": "samples", "samples": summary["loss_minimum_samples"]})
    navigate(short, out=tmp_path)
    assert_equal_weights(weights(straight("turn")), weights(tmp_path))


def test_a_curve_that_does_not_turn_runs_to_its_last_sample(flow: Path, tmp_path: Path) -> None:
    summary = navigate(navigate_settings(flow, stop="turn", turn_rise=100.0), out=tmp_path)
    assert (summary["ended_by"], summary["samples"]) == ("samples", 64)


# What it writes


def test_every_update_is_logged_with_all_figures(straight: Callable[[str], Path]) -> None:
    lines = metrics(straight("alternating"))
    assert [line["update"] for line in lines] == list(range(1, 9))
    for line in lines:
        assert set(line) == {
            *("update", "samples", "loss_encoder", "loss_navigator", "chance", "loss_smoothed"),
            *("shift_mean", "shift_std", "d_mean", "d_p95", "d_max", "violations"),
        }
        assert line["chance"] == pytest.approx(math.log(2 * K - 1), rel=1e-12)
        assert 0 < line["d_mean"] < line["d_p95"] <= line["d_max"]
    assert lines[0]["loss_smoothed"] == pytest.approx(lines[0]["loss_encoder"], rel=1e-12)


def test_shift_statistics_are_those_of_numpy() -> None:
    draw = torch.Generator().manual_seed(0)
    z, z_pos = torch.randn(101, 64, generator=draw), torch.randn(101, 64, generator=draw)
    found = shift_statistics(z, z_pos, delta=1.4)
    move = z_pos.double().numpy() - z.double().numpy()
    d = np.sqrt((move**2).mean(axis=1))
    expected = {
        "shift_mean": move.mean(),
        "shift_std": move.std(ddof=1),
        "d_mean": d.mean(),
        "d_p95": np.quantile(d, 0.95),
        "d_max": d.max(),
        "violations": (d > 1.4).sum(),
    }
    assert 0 < expected["violations"] < 101
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert shift_statistics(z, z_pos, delta=None)["violations"] == 0


def test_the_navigator_says_what_made_it(flow: Path, straight: Callable[[str], Path]) -> None:
    navigator, header = load_navigator_with_header(straight("simultaneous"))
    made_by = header["made_by"]
    assert navigator.latent_dim == navigator.hidden == 64
    assert made_by["weights_sha256"] == generators.load("digits", weights=flow).weights_sha256
    assert made_by["settings"] == of_kind(flow, "simultaneous").tree()
    assert made_by["summary"] == read_json(straight("simultaneous") / "summary.json")


def test_the_summary_measures_the_final_navigator(flow: Path, straight: Callable[[str], Path]) -> None:
    summary = read_json(straight("simultaneous") / "summary.json")
    G = generators.load("digits", weights=flow)
    z = G.sample_prior(range(64, 64 + 4096), 0)
    with torch.no_grad():
        expected = shift_statistics(z, load_navigator(straight("simultaneous"))(z), delta=None)
    assert summary["shift"] == expected


def test_previews_show_anchors_over_positives_at_the_interval(flow: Path, straight: Callable[[str], Path]) -> None:
    folder = straight("alternating")
    names = ["final.png", "samples-0000000040.png"]
    assert sorted(path.name for path in (folder / "previews").iterdir()) == names
    for name in names:
        with Image.open(folder / "previews" / name) as picture:
            assert picture.size == (16 * 64 + 15 * 2, 2 * 64 + 2)
    G, T_z = generators.load("digits", weights=flow), load_navigator(folder)
    z = G.sample_prior(range(16), 0)
    pixels = np.asarray(Image.open(folder / "previews" / "final.png"))
    for row, images in enumerate((G(z), G(T_z(z)))):
        for column, image in enumerate(to_uint8(images)[:, 0].numpy()):
            top, left = 66 * row, 66 * column
            assert np.array_equal(pixels[top : top + 64 : 8, left : left + 64 : 8], image)


def test_snapshots_are_navigators_at_the_interval(flow: Path, tmp_path: Path) -> None:
    navigate(navigate_settings(flow, snapshot_every=16), out=tmp_path)
    names = [path.name for path in sorted((tmp_path / "snapshots").iterdir())]
    assert names == [f"samples-{samples:010d}.safetensors" for samples in (16, 32, 48, 64)]
    assert_equal_weights(weights(tmp_path / "snapshots" / names[-1]), weights(tmp_path))
    first = load_navigator(tmp_path / "snapshots" / names[0]).state_dict()
    assert not torch.equal(first["layers.2.bias"], weights(tmp_path)["layers.2.bias"])


@pytest.mark.parametrize(("interval", "passed"), [(8, 10), (16, 5), (24, 3), (20, 4), (5, 10), (1000, 0)])
def test_an_interval_is_passed_once_for_each_update_that_reaches_it(interval: int, passed: int) -> None:
    assert sum(crosses(interval, update, K) for update in range(10)) == passed


def test_the_seed_decides_everything(flow: Path, tmp_path: Path, straight: Callable[[str], Path]) -> None:
    torch.manual_seed(17)
    navigate(of_kind(flow, "simultaneous"), out=tmp_path / "again")
    assert_same_run(tmp_path / "again", straight("simultaneous"), ARTEFACT)
    navigate(navigate_settings(flow, seed=1), out=tmp_path / "other")
    assert metrics(tmp_path / "other")[0]["loss_encoder"] != metrics(tmp_path / "again")[0]["loss_encoder"]


# Losses that are no numbers


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("update_rule", "calls", "names"),
    [
        ("simultaneous", 6, "loss"),
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
        patch.setattr(stage, "info_nce", poisoned)
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
    monkeypatch.setattr(stage, "info_nce", infinite_slope)
    with pytest.raises(Diverged):
        navigate(settings, out=tmp_path)
    assert files(tmp_path / "checkpoints") == before


# What it refuses


def test_a_finished_run_returns_its_summary_and_computes_nothing(
    flow: Path, tmp_path: Path, straight: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(straight("simultaneous"), tmp_path / "run")
    before = files(tmp_path / "run")
    monkeypatch.setattr(stage, "info_nce", None)
    summary = navigate(of_kind(flow, "simultaneous"), out=tmp_path / "run")
    assert summary == read_json(straight("simultaneous") / "summary.json")
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


def test_overwrite_starts_anew(flow: Path, tmp_path: Path, straight: Callable[[str], Path]) -> None:
    navigate(navigate_settings(flow, seed=5, samples=200, snapshot_every=40, preview_every=40), out=tmp_path)
    navigate(of_kind(flow, "simultaneous"), out=tmp_path, overwrite=True)
    assert_same_run(tmp_path, straight("simultaneous"), ARTEFACT)
    assert not (tmp_path / "snapshots").exists()
    assert [path.name for path in (tmp_path / "previews").iterdir()] == ["final.png"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"generator": "digit"}, "no generator 'digit'. Did you mean 'digits'"),
        ({"views": "mnis"}, "no view policy 'mnis'. Did you mean 'mnist'"),
        ({"views": "simclr"}, "normalises 3 channels; the images have 1"),
        ({"encoder": "digts"}, "no encoder 'digts'. Did you mean 'digits'"),
        ({"device": "gpu"}, "'gpu' is not a device"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    flow: Path, tmp_path: Path, straight: Callable[[str], Path], changes: dict[str, str], says: str, overwrite: bool
) -> None:
    if overwrite:
        shutil.copytree(straight("simultaneous"), tmp_path / "run")
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


def test_a_run_can_be_repeated_from_its_own_settings(flow: Path, straight: Callable[[str], Path]) -> None:
    config = straight("simultaneous") / "config.toml"
    settings = resolve(NavigateSettings, "navigate", recipe=None, config=config, flags={})
    assert settings == of_kind(flow, "simultaneous")


@pytest.mark.parametrize("samples", [K, 2 * K, 1000 * K])
def test_the_estimate_is_a_rehearsal_that_leaves_nothing_behind(flow: Path, temporary: Path, samples: int) -> None:
    found = estimate(navigate_settings(flow, samples=samples, stop="delta", delta=1e-6))
    assert set(found) == {"seconds", "memory_bytes", "disk_bytes"}
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
