"""The learning rate as a function of the update."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from copgen.training.schedules import Cosine, set_learning_rate


@pytest.mark.parametrize("final", [0.0, 1e-3, 1.0])
def test_it_falls_along_a_cosine_to_a_share_of_the_peak(final: float) -> None:
    schedule = Cosine(0.3, 100, final=final)
    rates = [schedule(update) for update in range(101)]
    assert rates[0] == 0.3
    assert rates[50] == pytest.approx(0.3 * (1 + final) / 2)
    assert rates[100] == pytest.approx(0.3 * final, abs=1e-15)
    assert rates == sorted(rates, reverse=True)


def test_it_warms_up_before_it_falls() -> None:
    schedule = Cosine(0.5, 100, warmup=10)
    rates = [schedule(update) for update in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0.45 < max(rates) <= 0.5
    assert rates[100] == pytest.approx(0.0, abs=1e-15)


def test_all_parameters_get_the_rate() -> None:
    weights = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    optimizer = torch.optim.SGD(weights, lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
