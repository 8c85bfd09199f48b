"""The few-label accuracy of f: what is asked, which navigator is kept, and when the run ends."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from copgen import generators, views
from copgen.distributed.ranks import Ranks
from copgen.evaluation.nearest_mean import nearest_mean_top1
from copgen.latents.navigator import Navigator
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Silent
from copgen.stages.navigate.stage import navigate
from copgen.stages.navigate.stopping.probe import Probe
from copgen.stages.navigate.stopping.probe_images import ProbeImages, open_probe_images
from copgen.stages.navigate.stopping.stopping import Stopping
from tests.data import made
from tests.stages.navigate.stopping.test_limits import figures, settings
from tests.stages.navigate.stopping.test_perceptual import shifting
from tests.stages.navigating import ARTEFACT, K, as_stage, assert_equal_weights, weights
from tests.stages.small import assert_same_run, interrupted, killed, metrics, navigate_settings

GIVEN: dict[str, Any] = {"stop": "probe", "probe_on": "digits", "check_every": 2 * K, "probe_patience": 4 * K}
CPU = torch.device("cpu")


def two_classes() -> ProbeImages:
    """Two draws of two labels of two classes, which are black and white; three questions."""
    levels = torch.tensor([-1.0, 1.0])
    labelled = levels.view(1, 2, 1, 1, 1, 1).expand(2, 2, 2, 1, 2, 2)
    queries = levels[[0, 1, 1]].view(3, 1, 1, 1).expand(3, 1, 2, 2)
    return ProbeImages("black or white", labelled, queries, torch.tensor([0, 1, 0]), {"images": "abc"})


def watcher(embed: Callable[[Tensor], Tensor] = lambda v: v.flatten(1), **given: Any) -> Probe:
    chosen = settings(**{**GIVEN, "batch": 10, "probe_patience": 25, **given})
    return Probe(chosen, shifting(0.0), two_classes(), embed, Ranks())


def seen(probe: Probe, top1: float, updates: int, T_z: Navigator) -> bool:
    probe.look(T_z, updates)
    return probe.ends({"probe_top1": top1})


def test_the_nearest_mean_is_right_or_wrong_by_the_features() -> None:
    torch.manual_seed(0)
    means = torch.eye(3, 8) * 5
    labelled = means.view(1, 3, 1, 8) + torch.randn(4, 3, 5, 8)
    queries, classes = means.repeat(20, 1) + torch.randn(60, 8), torch.arange(3).repeat(20)
    assert float(nearest_mean_top1(labelled, queries, classes)) > 0.95
    assert float(nearest_mean_top1(labelled, queries, (classes + 1) % 3)) < 0.05
    assert float(nearest_mean_top1(3 * labelled + 7, 3 * queries + 7, classes)) == float(
        nearest_mean_top1(labelled, queries, classes)
    )
    draws = [nearest_mean_top1(labelled[[k]] + 0 * labelled[:1], queries, classes) for k in range(4)]
    assert all(0.8 < float(one) <= 1.0 for one in draws)


def test_the_accuracy_is_that_of_the_features() -> None:
    assert float(watcher().look(shifting(0.0), 1)["probe_top1"]) == pytest.approx(2 / 3)


def test_the_navigator_of_the_best_check_is_kept_and_the_first_of_equals() -> None:
    probe = watcher()
    for updates, top1 in ((1, 0.5), (2, 0.7), (3, 0.7), (4, 0.6)):
        assert not seen(probe, top1, updates, shifting(updates))
    assert seen(probe, 0.65, 5, shifting(5))  # three updates of ten samples: the patience of 25
    assert (probe.chosen_update, probe.top1) == (2, 0.7)
    assert [*probe.best.values()][-1].tolist() == [2.0] * 3
    restored = watcher()
    restored.load_state_dict(probe.state_dict())
    assert restored.signals(10) == probe.signals(10) == {"measure": "black or white", "best": 0.7, "chosen": 20}


@pytest.mark.parametrize(("stop", "chosen"), [("probe", 20), ("probe,delta", 20), ("samples", None)])
def test_it_chooses_where_samples_or_a_limit_end_the_run(stop: str, chosen: int | None) -> None:
    probe = watcher(stop=stop, delta=0.2)
    stopping = Stopping(settings(**{**GIVEN, "stop": stop, "delta": 0.2, "batch": 10}), [probe])
    for updates, top1 in ((1, 0.5), (2, 0.7), (3, 0.6)):
        probe.look(shifting(updates), updates)
        stopping.watch(figures(probe_top1=top1), {})
    stopping.refuses(figures(violations=10.0))
    assert (stopping.choice and 10 * stopping.choice[0]) == chosen
    assert stopping.signals({"shift_std": 0.0})["probe"]["acts_at"] is None
    assert stopping.inputs == {"probe's images": "abc"}


def test_a_run_ends_after_its_patience_with_the_navigator_of_its_best_check(flow: Path, tmp_path: Path) -> None:
    summary = navigate(navigate_settings(flow, **GIVEN, samples=1600), out=tmp_path / "run")
    assert summary["ended_by"] == "probe"
    found = summary["stop_rules"]["probe"]
    lines = {line["samples"]: line["probe_top1"] for line in metrics(tmp_path / "run") if "probe_top1" in line}
    assert [*lines] == [*range(2 * K, summary["samples"] + 1, 2 * K)]
    assert found["best"] == max(lines.values()) > 0.3  # an untrained network is above chance on digits
    assert found["chosen"] == summary["kept"] == min(at for at, top1 in lines.items() if top1 == found["best"])
    assert found["acts_at"] == summary["samples"] == found["chosen"] + 4 * K
    navigate(navigate_settings(flow, samples=found["chosen"]), out=tmp_path / "short")
    assert_equal_weights(weights(tmp_path / "run"), weights(tmp_path / "short"))


def test_it_is_logged_and_changes_nothing_where_it_does_not_act(flow: Path, tmp_path: Path) -> None:
    watched = {**GIVEN, "stop": "samples", "probe_patience": 1, "samples": 240}
    summary = navigate(navigate_settings(flow, **watched), out=tmp_path / "watched")
    assert summary["stop_rules"]["probe"]["acts_at"] is not None
    assert summary["kept"] == summary["samples"]
    navigate(navigate_settings(flow, samples=240), out=tmp_path / "plain")
    assert_equal_weights(weights(tmp_path / "watched"), weights(tmp_path / "plain"))
    own = ("probe_top1", "rule_probe")
    without = [{k: v for k, v in line.items() if k not in own} for line in metrics(tmp_path / "watched")]
    assert without == metrics(tmp_path / "plain")


def test_an_interrupted_run_ends_as_a_straight_one(flow: Path, tmp_path: Path) -> None:
    settings = navigate_settings(flow, **GIVEN, samples=1600)
    navigate(settings, out=tmp_path / "straight")
    interrupted(as_stage(settings), tmp_path / "stopped", [3 * K, 5 * K])
    killed(as_stage(settings), tmp_path / "killed", 5 * K)
    for name in ("stopped", "killed"):
        assert_same_run(tmp_path / name, tmp_path / "straight", ARTEFACT)
    read_late = settings.model_copy(update={"read_every": 3})
    navigate(read_late, out=tmp_path / "late")
    assert_equal_weights(weights(tmp_path / "late"), weights(tmp_path / "straight"))


@pytest.mark.parametrize(
    ("given", "shape", "asked"),
    [
        ({}, (6, 10, 5), 181),  # 300 labelled images; all of the validation split
        ({"probe_labels": 1}, (30, 10, 1), 181),
        ({"probe_images": 60}, (1, 6, 5), 30),
        ({"probe_images": 20}, (1, 2, 5), 10),
    ],
)
def test_what_is_asked(flow: Path, given: dict[str, Any], shape: tuple[int, ...], asked: int) -> None:
    G = generators.load("digits", weights=flow)
    chosen = navigate_settings(flow, **GIVEN, **given)
    T_x = views.policy("mnist")
    found = open_probe_images(chosen, G, T_x, device=CPU, events=Silent())
    assert found.labelled.shape == (*shape, 1, 8, 8)
    assert len(found.queries) == len(found.classes) == asked
    assert set(found.classes.tolist()) == set(range(shape[1]))
    assert len({image.numpy().tobytes() for image in found.labelled.flatten(0, 2)}) == math.prod(shape)  # none twice
    other = open_probe_images(chosen.replaced(seed=7), G, T_x, device=CPU, events=Silent())
    assert torch.equal(other.labelled, found.labelled)


def test_images_of_other_sizes_and_colours_are_fitted(flow: Path, tmp_path: Path) -> None:
    made.class_folders(tmp_path / "photos", count=10)
    chosen = navigate_settings(flow, **{**GIVEN, "probe_on": str(tmp_path / "photos"), "probe_labels": 2})
    G = generators.load("digits", weights=flow)
    found = open_probe_images(chosen, G, views.policy("mnist"), device=CPU, events=Silent())
    assert found.labelled.shape[-3:] == found.queries.shape[-3:] == (1, 8, 8)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"probe_on": None}, ValidationError, "probe_on"),
        ({"probe_images": 19}, ValidationError, "probe_images = 19"),
        ({"probe_on": "digit"}, UsageError, "digits"),
        ({"probe_labels": 200, "probe_images": 800}, UsageError, "probe_labels = 200"),
        ({"probe_on": "imagenet", "data_root": Path("/nowhere")}, DataError, "imagenet"),
    ],
)
def test_a_probe_without_its_images_is_refused_before_anything_is_written(
    flow: Path, tmp_path: Path, given: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        navigate(navigate_settings(flow, **{**GIVEN, **given}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_newest_snapshots_are_kept(flow: Path, tmp_path: Path) -> None:
    given = {"snapshot_every": K, "snapshots_kept": 3}
    navigate(navigate_settings(flow, **given), out=tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run" / "snapshots").iterdir())
    assert names == [f"samples-{samples:010d}.safetensors" for samples in (6 * K, 7 * K, 8 * K)]
    interrupted(as_stage(navigate_settings(flow, **given)), tmp_path / "stopped", [3 * K, 7 * K])
    assert sorted(path.name for path in (tmp_path / "stopped" / "snapshots").iterdir()) == names
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["kept"] == 8 * K
