"""Runs with other forms of T_z than the paper's, weight decay, and other widths of f."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from copgen import encoders, generators
from copgen.latents.navigator import load_navigator_with_header
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.stage import navigate
from copgen.stages.navigator.inspect import inspect
from copgen.stages.pretrain.online import OnlinePairs
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from copgen.stages.sample.transform import build_transform
from copgen.storage.files import read_json
from tests.stages.navigating import K, weights
from tests.stages.small import metrics, navigate_settings

CPU = torch.device("cpu")


def test_the_forms_are_in_the_file_the_record_and_the_measurements(navigated: Callable[[str], Path]) -> None:
    folder = navigated("forms")
    T_z, header = load_navigator_with_header(folder)
    assert (T_z.noise_dim, T_z.random_sign) == (3, True)
    settings = header["made_by"]["settings"]
    assert (settings["center"], settings["noise_dim"], settings["random_sign"]) == (True, 3, True)
    assert (settings["weight_decay_navigator"], settings["encoder_width"]) == (0.1, 0.5)
    split = read_json(folder / "displacement.json")["split"]
    assert set(split) == {"constant", "linear", "nonlinear", "noise"}
    assert sum(split.values()) == pytest.approx(1.0)
    assert split["constant"] < 1e-2 < split["noise"]
    found = inspect(folder, draws=4000)
    assert (found["noise_dim"], found["random_sign"]) == (3, True)
    for part, share in split.items():
        assert found[part] == pytest.approx(share, abs=0.02), part
    assert set(read_json(navigated("simultaneous") / "displacement.json")["split"]) == set(split) - {"noise"}


def test_the_checks_and_the_summary_are_of_the_navigator_that_is_saved(
    flow: Path, navigated: Callable[[str], Path]
) -> None:
    G, T_z = generators.load("digits", weights=flow), load_navigator_with_header(navigated("forms"))[0]
    rows = range(64, 64 + 4096)
    shift = T_z.move(G.sample_prior(rows, 0), seed=0, rows=rows).numbers()
    summary = read_json(navigated("forms") / "summary.json")
    for name in ("d_mean", "d_p95", "shift_std"):
        assert summary["shift"][name] == pytest.approx(shift[name], rel=1e-5)
    assert summary["stop_rules"]["perceptual"]["start"] > summary["stop_rules"]["perceptual"]["random"]


def test_the_learned_centre_does_not_depend_on_the_batch_that_is_sampled(
    flow: Path, tmp_path: Path, navigated: Callable[[str], Path]
) -> None:
    fields = {"generator": "digits", "weights": flow, "navigator": navigated("forms"), "n": 12, "device": "cpu"}
    folders = []
    for batch in (12, 5):
        settings = SampleSettings.model_validate({**fields, "positives": 3, "batch": batch})
        sample(settings, out=tmp_path / str(batch))
        folders.append(OnlinePairs(settings, CPU, rounded=False))
    items = torch.arange(12)
    for column in (1, 2, 3):
        chosen = torch.full((12,), column)
        one, other = (pairs.batch(items, chosen, CPU) for pairs in folders)
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-4)


def test_several_positives_of_a_navigator_with_noise_differ(flow: Path, navigated: Callable[[str], Path]) -> None:
    G = generators.load("digits", weights=flow)
    settings = SampleSettings(generator="digits", weights=flow, navigator=navigated("forms"), n=9, positives=3)
    found = build_transform(settings, G, CPU)
    assert found.source.settings == {}
    z = G.sample_prior(range(9), 0)
    moved = [transform(z, None, range(9)) for transform in found.transforms]
    assert len(moved) == 3
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert float((moved[one] - moved[other]).abs().amax(1).min()) > 1e-4
    alone = build_transform(settings.model_copy(update={"positives": 1}), G, CPU)
    assert torch.equal(alone.transforms[0](z, None, range(9)), moved[0])


def test_weight_decay_is_decoupled_from_the_gradient(flow: Path, tmp_path: Path) -> None:
    plain = navigate_settings(flow, samples=K)
    before = Game(plain, generators.load("digits", weights=flow), CPU).T_z.state_dict()
    navigate(plain, out=tmp_path / "plain")
    navigate(plain.model_copy(update={"weight_decay_navigator": 2.0}), out=tmp_path / "decayed")
    without, decayed = weights(tmp_path / "plain"), weights(tmp_path / "decayed")
    for name, weight in before.items():
        torch.testing.assert_close(decayed[name], without[name] - 2.0 * plain.lr_navigator * weight)
    assert metrics(tmp_path / "plain") == metrics(tmp_path / "decayed")


def test_an_update_that_delta_forbids_decays_nothing(flow: Path, tmp_path: Path) -> None:
    settings = navigate_settings(flow, stop="delta", delta=1e-4, weight_decay_navigator=2.0)
    before = Game(settings, generators.load("digits", weights=flow), CPU).T_z.state_dict()
    assert navigate(settings, out=tmp_path)["updates"] == 0
    assert all(torch.equal(value, before[name]) for name, value in weights(tmp_path).items())


@pytest.mark.parametrize(("width", "channels"), [(1.0, [16, 32, 64]), (1.5, [24, 48, 96]), (0.01, [1, 1, 1])])
def test_the_width_of_f_multiplies_its_channels(flow: Path, width: float, channels: list[int]) -> None:
    assert encoders.build("digits", 1, width=width).block_widths == channels
    game = Game(navigate_settings(flow, encoder_width=width), generators.load("digits", weights=flow), CPU)
    assert game.backbone.block_widths == channels


def test_f_has_the_stem_of_the_settings(flow: Path) -> None:
    G = generators.load("digits", weights=flow)
    for stem, stride in ((None, (1, 1)), ("small", (1, 1)), ("imagenet", (2, 2))):
        backbone = Game(navigate_settings(flow, stem=stem), G, CPU).backbone
        assert backbone.conv1.stride == stride
