"""The moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from copgen.training.ema import average_into, warmed_up


def test_averaging_leaves_the_current_weights_alone_and_copies_buffers() -> None:
    def layer(value: float) -> nn.BatchNorm1d:
        made = nn.BatchNorm1d(1)
        nn.init.constant_(made.weight, value)
        assert made.running_mean is not None
        made.running_mean.fill_(value)
        return made

    averaged, current = layer(1.0), layer(3.0)
    average_into(averaged, current, decay=0.75)
    assert (averaged.weight.item(), current.weight.item()) == (1.5, 3.0)
    assert torch.equal(averaged.state_dict()["running_mean"], torch.tensor([3.0]))


def test_the_decay_grows_to_its_value() -> None:
    decays = [warmed_up(0.9, update) for update in range(100)]
    assert decays[0] == pytest.approx(0.1)
    assert decays == sorted(decays)
    assert decays[-1] == 0.9
