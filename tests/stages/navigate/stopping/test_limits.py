"""The limits on the displacement: Algorithm 1's delta, and the band around GenRep's Gaussian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from copgen.latents.genrep import PRIOR_STD
from copgen.latents.operations.shift import NAMES
from copgen.runtime.errors import UsageError
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.limits import EFFECTIVE, limits
from copgen.stages.navigate.stopping.names import joined, listed
from copgen.stages.navigate.stopping.stopping import Stopping
from tests.stages.navigate.stopping.published import BATCH, STD, interpolated, updates


def settings(**given: Any) -> NavigateSettings:
    return NavigateSettings.model_validate({"generator": "bigbigan", "samples": 1000, **given})


def figures(**given: float) -> dict[str, float]:
    return {**dict.fromkeys(NAMES, 0.0), "loss_encoder": 1.0, **given}


def on_device(metrics: dict[str, float]) -> torch.Tensor:
    return torch.tensor([metrics[name] for name in NAMES], dtype=torch.float64)


@pytest.mark.parametrize(
    ("given", "metrics", "ends"),
    [
        ({"stop": "delta", "delta": 0.2, "batch": 10}, {"violations": 1.0}, "delta"),
        ({"stop": "delta", "delta": 0.2, "batch": 10, "delta_share": 0.9}, {"violations": 1.0}, ""),
        ({"stop": "delta", "delta": 0.2, "batch": 10, "delta_share": 0.9}, {"violations": 2.0}, "delta"),
        ({"stop": "delta", "delta": 0.2, "delta_measure": "mean"}, {"violations": 9.0, "d_mean": 0.2}, ""),
        ({"stop": "delta", "delta": 0.2, "delta_measure": "mean"}, {"d_mean": 0.21}, "delta"),
        ({"stop": "band"}, {"shift_std": 0.24}, ""),
        ({"stop": "band"}, {"shift_std": 0.241}, "band"),
        ({"stop": "band", "prior_std": 1.0}, {"shift_std": 0.241}, ""),
        ({"stop": "band", "band": 1.0}, {"shift_std": 0.201}, "band"),
        ({"stop": "samples", "delta": 0.2}, {"violations": 100.0, "shift_std": 9.0}, ""),
        ({"stop": "loss-turn,band,delta", "delta": 0.2}, {"violations": 1.0}, "delta"),
        ({"stop": ["delta", "band"], "delta": 0.2}, {"shift_std": 9.0}, "band"),
    ],
)
def test_the_device_and_the_metrics_agree_on_what_ends_a_run(
    given: dict[str, Any], metrics: dict[str, float], ends: str
) -> None:
    stopping, found = Stopping(settings(**given)), figures(**metrics)
    skipped = stopping.skips(on_device(found))
    assert bool(skipped) is bool(ends)
    assert stopping.refuses(found) is bool(ends)
    assert stopping.name == ends


def test_a_rule_that_does_not_act_says_when_it_would_have() -> None:
    stopping = Stopping(settings(delta=0.2, batch=10))
    for violations in (0, 0, 1, 0):
        metrics = figures(violations=violations)
        assert not stopping.refuses(metrics)
        stopping.watch(metrics, {})
    signals = stopping.signals({"shift_std": 0.2})
    assert signals["delta"]["acts_at"] == 20
    assert signals["band"]["acts_at"] is None
    assert signals["band"]["of_nominal"] == pytest.approx(1.0)
    assert signals["band"]["of_effective"] == pytest.approx(1.0 / EFFECTIVE)
    restored = Stopping(settings(delta=0.2, batch=10))
    restored.load_state_dict(stopping.state_dict())
    assert restored.signals({"shift_std": 0.2}) == signals


def test_a_checkpoint_of_an_older_version_starts_another_mean() -> None:
    stopping = Stopping(settings())
    old: dict[str, Any] = {"updates": 7, "biased_mean": 1.0, "minimum": None, "minimum_update": 0, "best": {}}
    stopping.load_state_dict(old)
    assert (stopping.updates, stopping.turn.updates) == (7, 0)


def test_the_published_run_leaves_the_band_soon_after_the_authors_stopped() -> None:
    drawn = updates(1e6)
    limit = next(one for one in limits(settings()) if one.name == "band")
    left = next(k for k, std in enumerate(interpolated(STD, drawn)) if limit.exceeded({"shift_std": float(std)}))
    assert 200e3 < left * BATCH < 250e3


def test_the_effective_deviation_is_that_of_a_truncated_normal() -> None:
    draws = np.random.default_rng(0).standard_normal(1_000_000)
    assert draws[abs(draws) <= 2].std() == pytest.approx(EFFECTIVE, abs=2e-3)
    assert PRIOR_STD["bigbigan"] * EFFECTIVE == pytest.approx(0.176, abs=1e-3)  # measured in GenRep's code


def test_a_generator_without_a_prior_value_cannot_use_the_band() -> None:
    with pytest.raises(UsageError, match="prior_std"):
        limits(settings(generator="icgan-128", stop="band"))
    assert limits(settings(generator="icgan-128")) == []
    assert len(limits(settings(generator="icgan-128", stop="band", prior_std=0.2))) == 1


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        ("samples", ()),
        ("turn", ("loss-turn",)),
        ("loss-turn, delta", ("delta", "loss-turn")),
        (["band", "samples"], ("band",)),
    ],
)
def test_lists_of_rules(given: str | list[str], rules: tuple[str, ...]) -> None:
    assert listed(given) == rules
    assert listed(joined(rules)) == rules


@pytest.mark.parametrize("given", ["lossturn", "delta,,band", ""])
def test_an_unknown_rule_is_named(given: str) -> None:
    with pytest.raises(UsageError, match="stop rule"):
        listed(given)
