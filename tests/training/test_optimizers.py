"""The optimizers, and the flag that halts them where they compute."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import nn

from copgen.training.halt import Halt
from copgen.training.optimizers import build_optimizer

KINDS: list[tuple[Literal["sgd", "adam"], bool | None]] = [("sgd", None), ("sgd", True), ("adam", None), ("adam", True)]


def descend(layer: nn.Linear, optimizer: torch.optim.Optimizer, halt: Halt) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(layer(torch.ones(1, 2)).square().sum())
    halt.step(optimizer)


@pytest.mark.parametrize(("name", "fused"), KINDS)
@pytest.mark.parametrize("maximize", [False, True])
def test_a_step_goes_down_or_up_the_slope(name: Literal["sgd", "adam"], fused: bool | None, maximize: bool) -> None:
    layer = nn.Linear(2, 1, bias=False)
    nn.init.ones_(layer.weight)
    optimizer = build_optimizer(name, layer, lr=0.01, maximize=maximize, fused=fused)
    descend(layer, optimizer, Halt(torch.device("cpu")))
    size = {"sgd": 0.04, "adam": 0.01}[name]  # Adam's first step is the learning rate
    expected = torch.full((1, 2), 1 + (size if maximize else -size))
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("name", "fused"), KINDS)
def test_once_halted_no_weight_moves_any_more(name: Literal["sgd", "adam"], fused: bool | None) -> None:
    layer, halt = nn.Linear(2, 1), Halt(torch.device("cpu"))
    optimizer = build_optimizer(name, layer, lr=0.1, fused=fused)
    weights: list[Any] = []
    for condition in (False, True, False):
        halt.where(torch.tensor(condition))
        descend(layer, optimizer, halt)
        weights.append(layer.weight.detach().clone())
    assert not torch.equal(weights[0], torch.zeros(1, 2))
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
