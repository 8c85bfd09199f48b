"""BYOL against lightly's parts: the loss, the target's momentum, and whole steps."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from copgen.methods.byol import BYOL
from copgen.methods.target import Momentum
from tests.methods.small import batch, tiny


@pytest.fixture
def criterion() -> Any:
    """lightly's loss."""
    return pytest.importorskip("lightly.loss").NegativeCosineSimilarity()


def test_the_loss_is_the_mean_negative_cosine_of_both_orders(criterion: Any) -> None:
    method = tiny("byol")
    (v, v_pos), _ = batch(0)
    outputs, frozen = (method.f(v), method.f(v_pos)), method.frozen((v, v_pos))
    expected = 0.5 * (
        criterion(outputs[0]["prediction"], frozen[1]["projection"])
        + criterion(outputs[1]["prediction"], frozen[0]["projection"])
    )
    torch.testing.assert_close(method.loss(outputs, frozen, None)["loss"], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_a_loop_of_lightlys_parts(criterion: Any, dtype: torch.dtype) -> None:
    """Its example updates the target before a step, and so from the weights after the step before."""
    update_momentum = pytest.importorskip("lightly.models.utils").update_momentum
    method = tiny("byol", momentum=0.9, momentum_schedule="constant").to(dtype)
    assert isinstance(method, BYOL)
    backbone, projector, predictor = copy.deepcopy(method.f)
    slow_backbone, slow_projector = copy.deepcopy(backbone), copy.deepcopy(projector)
    theirs = nn.ModuleList((backbone, projector, predictor))
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.06) for module in (method.f, theirs)]
    for update in range(3):
        (x0, x1), _ = batch(update)
        x0, x1 = x0.to(dtype), x1.to(dtype)

        ours = method(x0, x1)["loss"]
        optimizers[0].zero_grad()
        torch.autograd.backward(ours)
        optimizers[0].step()
        method.after_step(update)

        update_momentum(backbone, slow_backbone, m=0.9)
        update_momentum(projector, slow_projector, m=0.9)
        p0, p1 = (predictor(projector(backbone(x))) for x in (x0, x1))
        with torch.no_grad():
            z0, z1 = (slow_projector(slow_backbone(x)) for x in (x0, x1))
        loss = 0.5 * (criterion(p0, z1) + criterion(p1, z0))
        optimizers[1].zero_grad()
        torch.autograd.backward(loss)
        optimizers[1].step()
        bound = 1e-5 if dtype == torch.float32 else 1e-10
        torch.testing.assert_close(ours, loss, rtol=bound, atol=bound)
    for found, expected in zip(method.f.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=bound, atol=bound)


def test_the_target_begins_at_f_and_follows_it() -> None:
    method = tiny("byol", momentum=0.75, momentum_schedule="constant")
    assert isinstance(method, BYOL)
    before = [parameter.clone() for parameter in method.target.parameters()]
    for parameter, start in zip(method.f.parameters(), before, strict=False):
        assert torch.equal(parameter, start)
        with torch.no_grad():
            parameter.add_(1.0)
    method.after_step(0)
    for parameter, start in zip(method.target.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, start + 0.25)


def test_momentum_is_constant_or_a_cosine_up_to_1() -> None:
    scheduler = pytest.importorskip("lightly.utils.scheduler")
    assert {Momentum(0.99)(update) for update in (0, 7, 99)} == {0.99}
    cosine = Momentum(0.996, "cosine", 100)
    for update in (0, 1, 50, 99):
        # lightly's ends at 1 with the last update, BYOL's after it.
        assert cosine(update) == pytest.approx(scheduler.cosine_schedule(update, 101, 0.996, 1.0), abs=1e-12)
    assert cosine(50) == pytest.approx(0.998)
    assert math.isclose(Momentum(0.9, "cosine", 1)(1), 1.0)
