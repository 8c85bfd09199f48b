"""The stage navigate: when a run ends, and what it writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from copgen import generators
from copgen.latents import constrain, load_navigator
from copgen.latents.navigator import Navigator, load_navigator_with_header
from copgen.latents.operations import Moved
from copgen.latents.transforms import Gaussian, Random
from copgen.pairs.pixels import to_uint8
from copgen.stages.navigate.stage import navigate
from copgen.storage.files import read_json
from tests.stages.navigating import ARTEFACT, K, assert_equal_weights, of_kind, weights
from tests.stages.small import (
    assert_same_run,
    metrics,
    navigate_settings,
)

# When it ends


@pytest.mark.parametrize(("samples", "updates"), [(64, 8), (63, 7), (8, 1)])
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
    script = iter([0.0, 0.0, 1.0, 1.0, 2.0])  # the first is for the preview before the first update
    real = Navigator.move

    def scripted(self: Navigator, z: Tensor, **how: Any) -> Moved:
        moved = real(self, z, **how)
        moved.stats[0] = next(script, 0.0)
        return moved

    monkeypatch.setattr(Navigator, "move", scripted)
    settings = navigate_settings(flow, samples=70, batch=10, stop="delta", delta=1.0, delta_share=0.9)
    assert navigate(settings, out=tmp_path)["updates"] == 3


def test_a_navigator_that_violates_delta_from_the_start_is_returned_untrained(flow: Path, tmp_path: Path) -> None:
    settings = navigate_settings(flow, stop="delta", delta=1e-4, init="target_std", init_std=0.01)
    summary = navigate(settings, out=tmp_path)
    assert (summary["ended_by"], summary["samples"], summary["loss_smoothed"]) == ("delta", 0, None)
    assert summary["shift"]["shift_std"] == pytest.approx(0.01, rel=0.05)
    assert metrics(tmp_path) == []


def test_turn_returns_the_navigator_of_the_minimum(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path]
) -> None:
    summary = read_json(navigated("turn") / "summary.json")
    lines = metrics(navigated("turn"))
    smoothed = [line["loss_smoothed"] for line in lines]
    lowest = min(range(1, len(smoothed)), key=smoothed.__getitem__)  # the mean counts from the second update on
    assert summary["ended_by"] == "loss-turn"
    assert summary["updates"] == len(lines) == lowest + 1 + 40 // K < 1000 // K
    assert summary["loss_minimum_samples"] == (lowest + 1) * K < summary["samples"]
    assert summary["loss_minimum"] == smoothed[lowest]
    assert summary["stop_rules"]["loss-turn"] == {
        "measure": "samples_since_minimum",
        "limit": 40,
        "chosen": (lowest + 1) * K,
        "acts_at": summary["samples"],
    }
    short = of_kind(flow, "turn").model_copy(update={"stop": "samples", "samples": summary["loss_minimum_samples"]})
    navigate(short, out=tmp_path)
    assert_equal_weights(weights(navigated("turn")), weights(tmp_path))


def test_a_curve_that_does_not_turn_runs_to_its_last_sample(flow: Path, tmp_path: Path) -> None:
    summary = navigate(navigate_settings(flow, stop="turn", turn_patience=1000), out=tmp_path)
    assert (summary["ended_by"], summary["samples"]) == ("samples", 64)


def test_of_several_rules_the_first_to_act_ends_the_run(flow: Path, tmp_path: Path) -> None:
    given = {"stop": "loss-turn,band,delta", "delta": 100.0, "prior_std": 0.5, "band": 1.0, "samples": 1000}
    summary = navigate(navigate_settings(flow, **given), out=tmp_path)
    assert summary["ended_by"] == "band"
    assert summary["stop_rules"]["band"]["acts_at"] == summary["samples"]
    assert summary["stop_rules"]["delta"]["acts_at"] is None
    assert summary["shift"]["shift_std"] == pytest.approx(0.5, rel=0.2)


# What it writes


def test_every_update_is_logged_with_all_figures(navigated: Callable[[str], Path]) -> None:
    lines = metrics(navigated("alternating"))
    assert [line["update"] for line in lines] == list(range(1, 9))
    for line in lines:
        assert set(line) == {
            *("update", "samples", "loss_encoder", "loss_navigator", "chance", "loss_smoothed"),
            *("shift_mean", "shift_std", "d_mean", "d_std", "d_p95", "d_max", "violations"),
            *("rule_band", "rule_loss_turn"),
        }
        assert line["chance"] == pytest.approx(math.log(2 * K - 1), rel=1e-12)
        assert 0 < line["d_mean"] < line["d_p95"] <= line["d_max"]
    assert lines[0]["loss_smoothed"] == pytest.approx(lines[0]["loss_encoder"], rel=1e-12)


def test_shift_statistics_are_those_of_numpy() -> None:
    draw = torch.Generator().manual_seed(0)
    z, z_pos = torch.randn(101, 64, generator=draw), torch.randn(101, 64, generator=draw)
    found = constrain(z, z_pos, delta=1.4).numbers()
    move = z_pos.double().numpy() - z.double().numpy()
    d = np.sqrt((move**2).mean(axis=1))
    expected = {
        "shift_mean": move.mean(),
        "shift_std": move.std(ddof=1),
        "d_mean": d.mean(),
        "d_std": d.std(ddof=1),
        "d_p95": np.quantile(d, 0.95),
        "d_max": d.max(),
        "violations": (d > 1.4).sum(),
    }
    assert 0 < expected["violations"] < 101
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert constrain(z, z_pos).numbers()["violations"] == 0


def test_the_navigator_says_what_made_it(flow: Path, navigated: Callable[[str], Path]) -> None:
    navigator, header = load_navigator_with_header(navigated("simultaneous"))
    made_by = header["made_by"]
    assert navigator.latent_dim == navigator.hidden == 64
    assert made_by["weights_sha256"] == generators.load("digits", weights=flow).weights_sha256
    assert made_by["settings"] == of_kind(flow, "simultaneous").tree()
    assert made_by["summary"] == read_json(navigated("simultaneous") / "summary.json")


def test_the_summary_measures_the_final_navigator(flow: Path, navigated: Callable[[str], Path]) -> None:
    summary = read_json(navigated("simultaneous") / "summary.json")
    G = generators.load("digits", weights=flow)
    z = G.sample_prior(range(64, 64 + 4096), 0)
    with torch.no_grad():
        expected = load_navigator(navigated("simultaneous")).move(z).numbers()
    assert summary["shift"] == expected


def test_previews_show_anchors_over_positives_at_the_interval(flow: Path, navigated: Callable[[str], Path]) -> None:
    folder = navigated("alternating")
    names = ["final.png", "samples-0000000000.png", "samples-0000000040.png"]
    assert sorted(path.name for path in (folder / "previews").iterdir()) == ["baselines.png", *names]
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


def test_baselines_are_other_positives_of_the_same_anchors(flow: Path, navigated: Callable[[str], Path]) -> None:
    """The paper's Figure 5: another latent, and GenRep's Gaussian step."""
    G = generators.load("digits", weights=flow)
    z, rows = G.sample_prior(range(16), 0), range(16)
    pixels = np.asarray(Image.open(navigated("alternating") / "previews" / "baselines.png"))
    assert pixels.shape == (3 * 66 - 2, 16 * 66 - 2)
    moved = (z, Random(G.prior, 0)(z, None, rows), Gaussian(0.2, 0, 2.0)(z, None, rows))
    for row, latents in enumerate(moved):
        assert np.array_equal(pixels[66 * row : 66 * row + 64 : 8, :64:8], to_uint8(G(latents))[0, 0].numpy())


def test_the_displacement_of_the_kept_navigator_is_measured(flow: Path, navigated: Callable[[str], Path]) -> None:
    found = read_json(navigated("simultaneous") / "displacement.json")
    T_z, G = load_navigator(navigated("simultaneous")), generators.load("digits", weights=flow)
    z = G.sample_prior(range(64, 64 + 4096), 0)
    d = T_z.displace(z).double().square().mean(1).sqrt()
    assert (found["samples"], found["draws"], sum(found["d"]["counts"])) == (64, 4096, 4096)
    assert found["d"]["edges"][-1] == pytest.approx(d.max().item(), rel=1e-6)
    assert sum(found["split"].values()) == pytest.approx(1.0)
    assert found["blocks"] == pytest.approx([d.square().mean().sqrt().item()], rel=1e-6)


def test_snapshots_are_navigators_at_the_interval(flow: Path, tmp_path: Path) -> None:
    navigate(navigate_settings(flow, snapshot_every=16), out=tmp_path)
    names = [path.name for path in sorted((tmp_path / "snapshots").iterdir())]
    assert names == [f"samples-{samples:010d}.safetensors" for samples in (16, 32, 48, 64)]
    assert_equal_weights(weights(tmp_path / "snapshots" / names[-1]), weights(tmp_path))
    first = load_navigator(tmp_path / "snapshots" / names[0]).state_dict()
    assert not torch.equal(first["layers.2.bias"], weights(tmp_path)["layers.2.bias"])


def test_the_seed_decides_everything(flow: Path, tmp_path: Path, navigated: Callable[[str], Path]) -> None:
    torch.manual_seed(17)
    navigate(of_kind(flow, "simultaneous"), out=tmp_path / "again")
    assert_same_run(tmp_path / "again", navigated("simultaneous"), ARTEFACT)
    navigate(navigate_settings(flow, seed=1), out=tmp_path / "other")
    assert metrics(tmp_path / "other")[0]["loss_encoder"] != metrics(tmp_path / "again")[0]["loss_encoder"]
