"""The drop of the similarity of anchors and positives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.distributed.ranks import Ranks
from copgen.evaluation.similarity.structural import StructuralSimilarity
from copgen.latents.navigator import Navigator
from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.stages.navigate.stage import navigate
from copgen.stages.navigate.stopping.perceptual import PAIRS, Perceptual
from copgen.stages.navigate.stopping.stopping import Stopping
from tests.stages.navigate.stopping.test_limits import figures, settings
from tests.stages.navigating import assert_equal_weights, weights
from tests.stages.small import Recorder, navigate_settings

DIM = 3


class Pixels:
    """A generator whose images show the latent."""

    latent_dim, channels, image_size = DIM, 1, 8

    def sample_prior(self, rows: range, seed: int) -> Tensor:
        return torch.randn(len(rows), DIM, generator=torch.Generator().manual_seed(seed))

    def sample_condition(self, rows: range, seed: int) -> None:
        return None

    def __call__(self, z: Tensor, condition: None) -> Tensor:
        return z.mean(dim=1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).tanh()


class Distance:
    """Minus the mean distance of pixels."""

    name, text = "distance", "distance of pixels"
    inputs: dict[str, str] = {"weights.pt": "abc"}  # noqa: RUF012

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return -(x - y).abs().mean(dim=(1, 2, 3))


def shifting(by: float) -> Navigator:
    """A navigator that adds a number to every coordinate."""
    T_z = Navigator(DIM, 4)
    with torch.no_grad():
        for parameter in T_z.parameters():
            parameter.zero_()
        list(T_z.parameters())[-1].fill_(by)
    return T_z


def watcher(**given: Any) -> Perceptual:
    return Perceptual(settings(**given), Pixels(), shifting(0.0), Distance(), Ranks())  # type: ignore[arg-type]


def test_all_is_kept_at_the_start_and_nothing_under_random_positives() -> None:
    watched = watcher()
    found = watched.look(shifting(0.0), 1)
    assert float(found["similarity"]) == 0.0
    assert float(found["similarity_kept"]) == 1.0
    x = Pixels()(watched.z, None)
    random = -(x - x.roll(1, dims=0)).abs().mean(dim=(1, 2, 3)).double().mean()
    assert float(watched.random) == pytest.approx(float(random))
    assert len(x) == PAIRS
    further = [float(watched.look(shifting(by), 1)["similarity_kept"]) for by in (0.1, 0.3, 1.0)]
    assert 1.0 > further[0] > further[1] > further[2]


def test_the_navigator_of_the_last_check_before_the_drop_is_kept() -> None:
    watched = watcher(similarity_kept=0.5, stop="perceptual", batch=10)
    stopping = Stopping(settings(stop="perceptual", batch=10, similarity_kept=0.5), [watched])
    for updates, by in ((1, 0.05), (2, 0.1)):  # read together, after both checks
        watched.look(shifting(by), updates)
    assert not stopping.watch(figures(similarity_kept=0.9), {})
    assert not stopping.watch(figures(), {})  # an update without a check
    state = json.loads(json.dumps({k: v for k, v in watched.state_dict().items() if k != "best"}))
    assert state == {"chosen_update": 1}
    assert stopping.watch(figures(similarity_kept=0.4), {})
    assert (stopping.name, stopping.acts_at["perceptual"]) == ("perceptual", 30)
    assert stopping.choice is not None
    assert [*stopping.choice[1].values()][-1].tolist() == pytest.approx([0.05] * DIM)
    signals = stopping.signals({"shift_std": 0.2})["perceptual"]
    assert (signals["chosen"], signals["limit"], signals["start"]) == (10, 0.5, 0.0)


def test_a_drop_at_the_first_check_keeps_the_untrained_navigator() -> None:
    watched = watcher()
    watched.look(shifting(5.0), 1)
    assert watched.ends({"similarity_kept": 0.1})
    assert watched.chosen_update == 0
    assert [*watched.best.values()][-1].tolist() == [0.0] * DIM


def test_a_measure_that_sees_no_difference_is_refused() -> None:
    class Blind(Distance):
        def __call__(self, x: Tensor, y: Tensor) -> Tensor:
            return torch.ones(len(x))

    with pytest.raises(UsageError, match="random images"):
        Perceptual(settings(), Pixels(), shifting(0.0), Blind(), Ranks())  # type: ignore[arg-type]


def test_ranks_act_on_the_mean_of_their_similarities() -> None:
    class Other(Ranks):
        """This rank, and one whose similarities are 0.2 less."""

        def mean(self, value: Tensor) -> Tensor:
            return value - 0.1

    ours, alone = (
        Perceptual(settings(), Pixels(), shifting(0.0), Distance(), ranks)  # type: ignore[arg-type]
        for ranks in (Other(), Ranks())
    )
    measured = ours.measured(shifting(0.5))["similarity"], alone.measured(shifting(0.5))["similarity"]
    for one, other in ((ours.start, alone.start), (ours.random, alone.random), measured):
        torch.testing.assert_close(one, other - 0.1)


def test_its_inputs_are_those_of_the_run() -> None:
    assert Stopping(settings(), [watcher()]).inputs == {"similarity's weights.pt": "abc"}
    assert Stopping(settings()).inputs == {}


def test_a_run_ends_at_the_drop_with_the_navigator_before(flow: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"stop": "perceptual", "similarity_kept": 0.5, "samples": 400, "check_every": 16}
    summary = navigate(navigate_settings(flow, init="target_std", lr_navigator=3e-2, **given), out=tmp_path / "run")
    assert summary["ended_by"] == "perceptual"
    found = summary["stop_rules"]["perceptual"]
    assert found["measure"] == StructuralSimilarity().name
    assert summary["kept"] == found["chosen"] < found["acts_at"] == summary["samples"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    kept = {line["samples"]: line["similarity_kept"] for line in lines if "similarity_kept" in line}
    assert min(kept) == 16
    assert all(value >= 0.5 for value in [*kept.values()][:-1])
    assert kept[found["acts_at"]] < 0.5
    short = {"init": "target_std", "lr_navigator": 3e-2, "samples": found["chosen"]}
    navigate(navigate_settings(flow, **short), out=tmp_path / "short")
    assert_equal_weights(weights(tmp_path / "run"), weights(tmp_path / "short"))


def test_missing_weights_are_told_before_anything_is_written(flow: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault):
        navigate(navigate_settings(flow, similarity="dinov2"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_ends_before_the_first_check_says_so(flow: Path, tmp_path: Path) -> None:
    heard = Recorder()
    given: dict[str, Any] = {"stop": "perceptual", "samples": 16}
    navigate(navigate_settings(flow, check_every=17, **given), out=tmp_path / "never", events=heard)
    assert any("No check of perceptual will be made: the run draws 16 samples" in text for text in heard.warnings)
    once = Recorder()
    navigate(navigate_settings(flow, check_every=16, **given), out=tmp_path / "once", events=once)
    assert not any("No check" in text for text in once.warnings)
