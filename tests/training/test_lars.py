"""LARS: SGD whose rate for each weight tensor is in proportion to its norm."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from copgen.training.halt import Halt
from copgen.training.lars import LARS
from copgen.training.optimizers import build_optimizer


def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(5, 3).double()


def descend(module: nn.Module, optimizer: Any, steps: int = 5) -> None:
    for step in range(steps):
        x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        torch.autograd.backward(module(x).square().mean())
        optimizer.step()


def test_it_is_the_published_rule() -> None:
    module, lr, momentum, decay, trust = layer(), 0.3, 0.9, 0.01, 0.02
    weights = [one.detach().clone() for one in module.parameters()]
    velocities = [torch.zeros_like(one) for one in weights]
    for step in range(4):
        x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        held = [one.clone().requires_grad_() for one in weights]
        slopes = torch.autograd.grad(torch.nn.functional.linear(x, *held).square().mean(), held)
        for place, slope in enumerate(slopes):
            along = slope + decay * weights[place]
            rate = trust * weights[place].norm() / along.norm()
            velocities[place] = momentum * velocities[place] + rate * along
            weights[place] = weights[place] - lr * velocities[place]
    descend(module, LARS(module.parameters(), lr=lr, momentum=momentum, weight_decay=decay, trust=trust), 4)
    for found, expected in zip(module.parameters(), weights, strict=True):
        torch.testing.assert_close(found.detach(), expected, rtol=1e-12, atol=1e-14)


def test_without_adaptation_it_is_sgd() -> None:
    one, other = layer(), layer()
    group: dict[str, Any] = {"params": list(one.parameters()), "adapt": False, "weight_decay": 0.1}
    descend(one, LARS([group], lr=0.1))
    descend(other, torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1))
    for found, expected in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_biases_are_left_out_if_asked_for() -> None:
    module = layer()
    optimizer = build_optimizer("lars", module, lr=0.1, weight_decay=0.5, decay_norms=False)
    weights, biases = optimizer.param_groups
    assert (weights["adapt"], weights["weight_decay"]) == (True, 0.5)
    assert (biases["adapt"], biases["weight_decay"]) == (False, 0.0)
    assert [one.ndim for one in biases["params"]] == [1]


@pytest.mark.parametrize("zero", ["weights", "gradient"])
def test_a_norm_of_zero_leaves_the_rate_alone(zero: str) -> None:
    weight = nn.Parameter(torch.zeros(3) if zero == "weights" else torch.ones(3))
    weight.grad = torch.ones(3) if zero == "weights" else torch.zeros(3)
    LARS([weight], lr=0.1, momentum=0.0).step()
    torch.testing.assert_close(weight.detach(), torch.full((3,), -0.1 if zero == "weights" else 1.0))


def test_a_halt_stops_it_though_the_gradient_is_nan() -> None:
    module, halt = layer(), Halt(torch.device("cpu"))
    optimizer = build_optimizer("lars", module, lr=0.1)
    descend(module, optimizer, 2)
    before = [one.detach().clone() for one in module.parameters()]
    halt.where(torch.tensor(True))
    for one in module.parameters():
        one.grad = torch.full_like(one, torch.nan)
    halt.step(optimizer)
    for found, expected in zip(module.parameters(), before, strict=True):
        assert torch.equal(found, expected)
    assert all(bool(state["momentum_buffer"].isfinite().all()) for state in optimizer.state.values())


def test_its_state_is_resumed() -> None:
    first, second = layer(), layer()
    half = LARS(first.parameters(), lr=0.1)
    descend(first, half, 5)
    second.load_state_dict(first.state_dict())
    resumed = LARS(second.parameters(), lr=0.1)
    resumed.load_state_dict(copy.deepcopy(half.state_dict()))
    descend(second, resumed, 3)
    descend(first, half, 3)
    for found, expected in zip(second.parameters(), first.parameters(), strict=True):
        assert torch.equal(found, expected)
