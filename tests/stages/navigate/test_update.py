"""One update of navigate is the update of Algorithm 1, worked out here by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from copgen import generators, views
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate
from tests.stages.small import metrics, navigate_settings, newest

K = 8
State = dict[str, Tensor]


def infonce_by_hand(h: Tensor, h_pos: Tensor, temperature: float, anchors: str) -> Tensor:
    """L of Algorithm 1 as it is written, one anchor after the other; with 'both' the positives take their turn too."""
    h, h_pos = (e / e.norm(dim=1, keepdim=True) for e in (h, h_pos))
    sides = [(h, h_pos)] if anchors == "first" else [(h, h_pos), (h_pos, h)]
    losses = []
    for own, other in sides:
        for k in range(len(own)):
            others = [own[k] @ own[j] for j in range(len(own)) if j != k] + [own[k] @ row for row in other]
            losses.append(
                -torch.log((own[k] @ other[k] / temperature).exp() / (torch.stack(others) / temperature).exp().sum())
            )
    return torch.stack(losses).mean()


class ByHand:
    """The loss of one update as a function of f's and T_z's parameters, with nothing of the stage but T_x and G."""

    def __init__(self, settings: NavigateSettings, update: int, f: nn.Module) -> None:
        G = generators.load("digits", weights=settings.weights)
        self.settings = settings
        self.f = copy.deepcopy(f).train()
        self.G = G
        self.rows = range(update * K, (update + 1) * K)
        self.z = G.sample_prior(self.rows, settings.seed)

    def loss(self, f: State, T_z: State) -> Tensor:
        hidden = F.linear(self.z, T_z["layers.0.weight"], T_z["layers.0.bias"]).relu()
        z_pos = self.z + F.linear(hidden, T_z["layers.2.weight"], T_z["layers.2.bias"])
        policy, seed = views.policy(self.settings.views), self.settings.seed
        v = views.augment(self.G(self.z), policy, seed=seed, rows=self.rows, stream="views/anchor")
        v_pos = views.augment(self.G(z_pos), policy, seed=seed, rows=self.rows, stream="views/positive")
        h = functional_call(self.f, f, (torch.cat((v, v_pos)),))
        return infonce_by_hand(h[:K], h[K:], self.settings.temperature, self.settings.anchors)


@dataclass
class Adam:
    """Adam as Kingma and Ba write it (algorithm 1), going down a slope: the gradient (sign 1) or its negative (-1)."""

    lr: float
    betas: tuple[float, float]
    sign: float

    def check(self, before: State, gradients: list[State], after: State, optimizer: dict[str, Any]) -> None:
        """The optimizer saw these gradients, and moved the parameters from `before` to `after` by them.

        In two parts, for Adam makes a whole step even of a gradient that is nothing but rounding.
        """
        for place, (name, parameter) in enumerate(before.items()):
            m, v = torch.zeros_like(parameter), torch.zeros_like(parameter)
            for gradient in gradients:
                m = self.betas[0] * m + (1 - self.betas[0]) * self.sign * gradient[name]
                v = self.betas[1] * v + (1 - self.betas[1]) * gradient[name].square()
            state = optimizer["state"][place]
            for found, expected in ((state["exp_avg"], m), (state["exp_avg_sq"], v)):
                largest = float(expected.detach().abs().max())
                torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * largest, check_stride=False)
            steps = len(gradients)
            m = state["exp_avg"] / (1 - self.betas[0] ** steps)
            v = state["exp_avg_sq"] / (1 - self.betas[1] ** steps)
            moved = parameter - self.lr * m / (v.sqrt() + 1e-8)
            torch.testing.assert_close(after[name], moved, rtol=1e-6, atol=1e-7, check_stride=False)
            assert not torch.equal(after[name], parameter), name


def leaves(state: dict[str, Any], module: nn.Module) -> State:
    """The parameters of a saved state, laid out in memory as the module's, so that the same kernels run on them."""
    return {
        name: torch.empty_like(parameter).copy_(state[name]).detach().requires_grad_()
        for name, parameter in module.named_parameters()
    }


def gradient(loss: Tensor, parameters: State, scale: float) -> State:
    names = list(parameters)
    values = torch.autograd.grad(scale * loss, [parameters[name] for name in names])
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize("update_rule", ["simultaneous", "alternating"])
@pytest.mark.parametrize(("anchors", "loss_scale"), [("first", 1.0), ("both", 0.1 / 0.07)])
def test_two_updates_are_those_worked_out_by_hand(
    flow: Path, tmp_path: Path, update_rule: str, anchors: str, loss_scale: float
) -> None:
    changes = {"update": update_rule, "anchors": anchors, "loss_scale": loss_scale, "lr_navigator": 2e-3}
    settings = navigate_settings(flow, **changes)
    game = Game(settings, generators.load("digits", weights=flow), torch.device("cpu"))
    states = [{"navigator": game.T_z.state_dict(), "encoder": game.f.state_dict()}]
    for updates in (1, 2):
        folder = tmp_path / str(updates)
        navigate(settings.model_copy(update={"samples": updates * K}), out=folder)
        states.append(newest(folder))
    lines = metrics(tmp_path / "2")

    gradients_f: list[State] = []
    gradients_T: list[State] = []
    for update in (0, 1):
        before, after = states[update], states[update + 1]
        game.f.load_state_dict(before["encoder"])
        hand = ByHand(settings, update, game.f)
        f, T_z = leaves(before["encoder"], game.f), leaves(before["navigator"], game.T_z)

        loss_f = hand.loss(f, T_z)
        assert lines[update]["loss_encoder"] == pytest.approx(loss_f.item(), abs=1e-5)
        gradients_f.append(gradient(loss_f, f, loss_scale) if update_rule == "alternating" else {})
        if update_rule == "simultaneous":
            both = gradient(loss_f, f | {f"T_z.{name}": value for name, value in T_z.items()}, loss_scale)
            gradients_f[-1] = {name: both[name] for name in f}
            gradients_T.append({name: both[f"T_z.{name}"] for name in T_z})
            loss_T = loss_f
        if update_rule == "alternating":
            # Against the f that this very update made, and not touching it any more.
            loss_T = hand.loss(leaves(after["encoder"], game.f), T_z)
            gradients_T.append(gradient(loss_T, T_z, loss_scale))
        assert lines[update]["loss_navigator"] == pytest.approx(loss_T.item(), abs=1e-5)

        descent = Adam(settings.lr_encoder, settings.betas, sign=1.0)
        descent.check(f, gradients_f, after["encoder"], after["descend"])
        ascent = Adam(settings.lr_navigator, settings.betas, sign=-1.0)
        ascent.check(T_z, gradients_T, after["navigator"], after["ascend"])
        for name, buffer in hand.f.named_buffers():  # batch statistics, of one pass of f or of two
            torch.testing.assert_close(after["encoder"][name], buffer, rtol=1e-5, atol=1e-6)
    passes = {"simultaneous": 1, "alternating": 2}[update_rule]
    assert states[2]["encoder"]["0.bn1.num_batches_tracked"] == 2 * passes


def test_alternating_shows_the_navigator_another_f_than_f_saw(flow: Path, tmp_path: Path) -> None:
    navigate(navigate_settings(flow, update="alternating"), out=tmp_path / "alternating")
    navigate(navigate_settings(flow, update="simultaneous"), out=tmp_path / "simultaneous")
    assert all(line["loss_encoder"] != line["loss_navigator"] for line in metrics(tmp_path / "alternating"))
    assert all(line["loss_encoder"] == line["loss_navigator"] for line in metrics(tmp_path / "simultaneous"))


@pytest.mark.parametrize("update_rule", ["simultaneous", "alternating"])
def test_the_scale_multiplies_gradients_and_nothing_else(flow: Path, tmp_path: Path, update_rule: str) -> None:
    plain = navigate_settings(flow, update=update_rule, samples=K)
    navigate(plain, out=tmp_path / "plain")
    navigate(plain.model_copy(update={"loss_scale": 8.0}), out=tmp_path / "scaled")
    once, scaled = newest(tmp_path / "plain"), newest(tmp_path / "scaled")
    first, second = metrics(tmp_path / "plain")[0], metrics(tmp_path / "scaled")[0]
    assert first["loss_encoder"] == second["loss_encoder"]
    assert first["loss_navigator"] == pytest.approx(second["loss_navigator"], abs=1e-4)
    for player in ("descend", "ascend") if update_rule == "simultaneous" else ("descend",):
        for key, state in once[player]["state"].items():
            torch.testing.assert_close(8.0 * state["exp_avg"], scaled[player]["state"][key]["exp_avg"])


@pytest.mark.parametrize("update_rule", ["simultaneous", "alternating"])
def test_the_generator_takes_no_part(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update_rule: str
) -> None:
    G = generators.load("digits", weights=flow)
    before = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    monkeypatch.setattr(generators, "load", lambda *_, **__: G)
    navigate(navigate_settings(flow, update=update_rule, samples=2 * K), out=tmp_path)
    assert [name for name, p in G.named_parameters() if p.grad is not None or p.requires_grad] == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in G.state_dict().items())
    assert not G.training


@pytest.mark.parametrize("update_rule", ["simultaneous", "alternating"])
@pytest.mark.parametrize(("player", "direction"), [("navigator", 1.0), ("encoder", -1.0)])
def test_the_loss_rises_when_only_the_navigator_learns_and_falls_when_only_f_does(
    flow: Path, tmp_path: Path, update_rule: str, player: str, direction: float
) -> None:
    rates = {"lr_navigator": 1e-12, "lr_encoder": 1e-12, f"lr_{player}": 1e-2}
    navigate(
        navigate_settings(flow, samples=20 * 32, batch=32, views="none", update=update_rule, **rates), out=tmp_path
    )
    losses = [line["loss_encoder"] for line in metrics(tmp_path)]
    change = sum(losses[-4:]) / 4 - sum(losses[:4]) / 4
    assert direction * change > 0.2
    assert all(math.isfinite(loss) for loss in losses)
