"""The stage `generator fit` of a small GAN: it learns, resumes bitwise equal, and its file is a generator."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from copgen import generators
from copgen.generators.small_gan import GanConfig
from copgen.runtime.errors import Diverged, EnvironmentFault, ExitCode, Stopped, UsageError
from copgen.runtime.events import Events
from copgen.stages.generator.gan import FitGanSettings, fit_gan
from copgen.stages.generator.gan import stage as stage_module
from copgen.stages.generator.gan.game import Game
from copgen.stages.generator.gan.stage import estimate, settled
from copgen.stages.generator.images import load_images
from copgen.storage.files import read_json
from tests.stages.small import At, Stage, assert_same_run, files, interrupted, killed, metrics, newest, send

B = 16
ARTEFACT = "generator.safetensors"


@pytest.fixture(scope="module", autouse=True)
def _quick_quality() -> Any:
    """The final metrics have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_module, "assess", lambda G, settings, images: {"quality": {"latent": float(G.latent_dim)}})
        yield


def fit_settings(**changes: object) -> FitGanSettings:
    fields = {
        "dataset": "digits",
        "network": GanConfig(latent_dim=6, width=4, discriminator_width=4),
        "updates": 7,
        "batch": B,
        "r1_every": 3,
        "checkpoint_every": 3,
        "preview_every": 64,
        "device": "cpu",
    }
    return FitGanSettings.model_validate({**fields, **changes})


def as_stage(settings: FitGanSettings) -> Stage:
    def run(out: Path, events: Events) -> dict[str, Any]:
        return fit_gan(settings, out=out, events=events)

    return run


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run; nobody writes into it."""
    out = tmp_path_factory.mktemp("gan") / "run"
    fit_gan(fit_settings(), out=out)
    return out


@pytest.mark.parametrize("at", [(1,), (3,), (2, 5)])
def test_a_run_that_a_signal_interrupts_ends_as_a_straight_one(
    tmp_path: Path, straight: Path, at: tuple[int, ...]
) -> None:
    summary = interrupted(as_stage(fit_settings()), tmp_path / "run", [B * update for update in at])
    assert_same_run(tmp_path / "run", straight, ARTEFACT)
    assert summary == read_json(straight / "summary.json")


def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(tmp_path: Path, straight: Path) -> None:
    killed(as_stage(fit_settings()), tmp_path / "run", B * 5)
    assert_same_run(tmp_path / "run", straight, ARTEFACT)


def test_every_update_is_logged_and_the_penalty_where_it_is_computed(straight: Path) -> None:
    lines = metrics(straight)
    assert [(line["update"], line["samples"]) for line in lines] == [(u, B * u) for u in range(1, 8)]
    names = {"update", "samples", "loss_discriminator", "loss_generator", "logit_real", "logit_fake"}
    assert all(set(line) - {"r1"} == names for line in lines)
    assert [line["update"] for line in lines if "r1" in line] == [1, 4, 7]


def test_previews_show_the_average_meanwhile_and_at_the_end(straight: Path) -> None:
    assert sorted(path.name for path in (straight / "previews").iterdir()) == ["000000064.png", "final.png"]


def test_both_players_learn(tmp_path: Path) -> None:
    fit_gan(fit_settings(updates=120, batch=32, lr=2e-3, augmentations=()), out=tmp_path)
    lines = metrics(tmp_path)
    assert sum(line["loss_discriminator"] for line in lines[20:40]) / 20 < 2 * math.log(2) - 0.05
    G = generators.load(str(tmp_path / ARTEFACT))
    images = G(G.sample_prior(range(64), 0))
    real = load_images(fit_settings(), torch.device("cpu"))[range(512)]
    before = settled(game(), batches=2)
    untrained = before(torch.randn(64, 6, generator=torch.Generator().manual_seed(0))).detach()
    target = real.mean(dim=0)
    assert float((images.mean(dim=0) - target).abs().mean()) < 0.5 * float((untrained.mean(0) - target).abs().mean())


def game(**changes: object) -> Game:
    return Game(fit_settings(**changes), channels=1, image_size=8, device=torch.device("cpu"))


def test_the_file_is_a_generator_that_says_what_made_it(straight: Path) -> None:
    G = generators.load(str(straight))
    assert (G.name, G.latent_dim, G.image_size, G.channels) == ("gan", 6, 8, 1)
    assert dict(G.made_by) == read_json(straight / "summary.json")
    assert G.made_by["settings"] == fit_settings().tree()
    assert G.made_by["command"] == "copgen generator fit digits --recipe gan"


def test_the_weights_that_are_kept_are_the_averaged_ones(straight: Path) -> None:
    state = newest(straight)
    kept = generators.load(str(straight)).state_dict()
    assert all(
        torch.equal(kept[f"network.{name}"], value)
        for name, value in state["averaged"].items()
        if name.endswith(("weight", "bias"))
    )
    assert not torch.equal(kept["network.project.weight"], state["generator"]["project.weight"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("loss", ["discriminator_loss", "generator_loss"])
def test_a_loss_that_is_not_finite_ends_the_run_before_anything_is_updated_with_it(
    tmp_path: Path, straight: Path, monkeypatch: pytest.MonkeyPatch, loss: str, value: float
) -> None:
    from copgen.stages.generator.gan import game as players

    with pytest.raises(Stopped):
        fit_gan(fit_settings(), out=tmp_path, events=At(4 * B, lambda: send(signal.SIGTERM)))
    before = files(tmp_path / "checkpoints")
    real = getattr(players, loss)
    with monkeypatch.context() as patch:
        patch.setattr(players, loss, lambda *logits: real(*logits) * value)
        with pytest.raises(Diverged, match=r"at update 5") as caught:
            fit_gan(fit_settings(), out=tmp_path)
    assert caught.value.code == ExitCode.DIVERGED
    assert files(tmp_path / "checkpoints") == before
    fit_gan(fit_settings(), out=tmp_path)
    assert_same_run(tmp_path, straight, ARTEFACT)


def test_out_of_memory_names_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(*given: object) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(Game, "play", play)
    with pytest.raises(EnvironmentFault, match=f"out of memory with a batch of {B}") as caught:
        fit_gan(fit_settings(), out=tmp_path)
    assert "--batch" in caught.value.fix


def test_a_finished_run_returns_its_summary(straight: Path) -> None:
    before = files(straight)
    assert fit_gan(fit_settings(), out=straight) == read_json(straight / "summary.json")
    assert files(straight) == before


def test_changed_settings_are_refused_with_the_difference(straight: Path) -> None:
    with pytest.raises(UsageError, match=r"r1: 1\.0 -> 2\.0; seed: 0 -> 1"):
        fit_gan(fit_settings(r1=2.0, seed=1), out=straight)


@pytest.mark.parametrize("updates", [1, 1000])
def test_the_estimate_is_a_rehearsal_that_leaves_nothing_behind(
    temporary: Path, updates_per_read: set[int], updates: int
) -> None:
    found = estimate(fit_settings(updates=updates))
    assert updates_per_read == {1}
    assert list(temporary.iterdir()) == []
    assert all(0 < value < math.inf for value in found.values())


def test_one_update_changes_both_networks_and_the_average(straight: Path) -> None:
    players = game()
    before = {name: part.state_dict() for name, part in players.state.items() if not name.startswith("of_")}
    before = {name: {key: value.clone() for key, value in state.items()} for name, state in before.items()}
    images = load_images(fit_settings(), torch.device("cpu"))
    found = players.play(images[range(B)], 0, range(B))
    assert {"loss_discriminator", "loss_generator", "r1"} <= found.keys()
    for name, state in before.items():
        after = players.state[name].state_dict()
        learned = [key for key in state if key.endswith(("weight", "bias"))]
        assert all(not torch.equal(state[key], after[key]) for key in learned), name


def test_the_penalty_weighs_as_many_updates_as_it_is_computed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    images = load_images(fit_settings(), torch.device("cpu"))[range(B)]
    gradients = []
    for r1, every in ((3.0, 1), (1.0, 3), (0.0, 3)):
        players = game(r1=r1, r1_every=every)
        players.play(images, 0, range(B))
        gradients.append([one.grad for one in players.D.parameters() if one.grad is not None])
    often, seldom, never = gradients
    torch.testing.assert_close(often, seldom)
    assert any(not torch.equal(one, other) for one, other in zip(often, never, strict=True))


def test_real_and_generated_images_are_augmented_by_the_same_rules_with_other_draws() -> None:
    players = game(augmentations=("translation", "cutout"))
    x = torch.rand(B, 1, 8, 8)
    views = [players.seen(x, range(B), by=by) for by in ("real", "fake", "generator")]
    assert torch.equal(players.seen(x, range(B), by="real"), views[0])
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(views[1], views[2])
    blank = [float((view == 0).float().mean()) for view in views]
    assert all(0.1 < share < 0.25 for share in blank)
