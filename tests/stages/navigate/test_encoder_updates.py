"""Several updates of f for each update of T_z."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen import generators
from copgen.runtime.errors import ExitCode, UsageError
from copgen.runtime.settings import resolve
from copgen.stages.navigate import players
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate
from tests.stages.navigating import K, assert_equal_weights, weights
from tests.stages.small import metrics, navigate_settings, newest

RULES = ["simultaneous", "alternating"]


@pytest.mark.parametrize("rule", RULES)
def test_f_learns_from_every_batch_and_the_navigator_from_the_last_of_several(
    flow: Path, tmp_path: Path, rule: str
) -> None:
    settings = navigate_settings(flow, update=rule, encoder_updates=2)
    before = players.Game(settings, generators.load("digits", weights=flow), torch.device("cpu"))
    steps = {}
    for updates in (2, 3, 4):
        folder = tmp_path / str(updates)
        navigate(settings.model_copy(update={"samples": updates * K}), out=folder)
        steps[updates] = weights(folder), newest(folder)["encoder"]["0.conv1.weight"]
    initial = before.T_z.state_dict()
    assert not any(steps[2][0][name].equal(initial[name]) for name in initial)
    assert_equal_weights(steps[2][0], steps[3][0])
    assert not any(steps[4][0][name].equal(steps[3][0][name]) for name in initial)
    assert len({tuple(f.flatten().tolist()) for _, f in steps.values()}) == 3
    lines = metrics(tmp_path / "4")
    assert ["loss_navigator" in line for line in lines] == [False, True, False, True]
    assert all({"loss_encoder", "loss_smoothed", "d_mean"} <= set(line) for line in lines)


@pytest.mark.parametrize("rule", RULES)
def test_only_the_batches_of_the_navigator_need_a_graph(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    real, graphs = players.Game.play, []

    def watched(self: players.Game, v: Tensor, v_pos: Tensor, *given: Any, **how: Any) -> Mapping[str, Tensor]:
        graphs.append(v_pos.requires_grad)
        return real(self, v, v_pos, *given, **how)

    monkeypatch.setattr(players.Game, "play", watched)
    navigate(navigate_settings(flow, update=rule, encoder_updates=4), out=tmp_path)
    assert graphs == [False, False, False, True] * 2


def test_a_run_in_which_the_navigator_would_never_learn_is_refused() -> None:
    with pytest.raises(UsageError, match="encoder_updates = 9") as caught:
        resolve(
            NavigateSettings, "navigate", flags={"generator": "digits", "batch": 8, "samples": 64, "encoder_updates": 9}
        )
    assert caught.value.code == ExitCode.USAGE
