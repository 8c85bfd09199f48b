"""SimCLR: InfoNCE of both sides over one batch of both views, and the heads that a checkpoint holds."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from copgen import encoders
from copgen.methods.simclr import SimCLR
from copgen.objectives import info_nce
from tests.methods.small import batch, tiny

K = 6


@pytest.fixture
def method() -> SimCLR:
    torch.manual_seed(0)
    return SimCLR(encoders.build("digits", 1), hidden=16, out=8, temperature=0.5)


def test_the_loss_is_symmetric_infonce_of_both_views_in_one_batch(method: SimCLR) -> None:
    v, v_pos = torch.rand(2, K, 1, 8, 8)
    loss = method(v, v_pos)["loss"]
    h, h_pos = method.f(torch.cat((v, v_pos)))["projection"].chunk(2)
    expected = 0.5 * (info_nce(h, h_pos, temperature=0.5) + info_nce(h_pos, h, temperature=0.5))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(loss, method(v_pos, v)["loss"])
    assert not torch.allclose(method.f(v)["projection"], h)  # batch statistics are of both views


def test_embeddings_that_say_nothing_are_at_chance(method: SimCLR) -> None:
    last = list(method.f.parameters())[-2:]
    torch.nn.init.zeros_(last[0])
    torch.nn.init.ones_(last[1])
    loss = float(method(*torch.rand(2, K, 1, 8, 8))["loss"].detach())
    assert loss == pytest.approx(method.chance(K)["chance"], rel=1e-6)
    assert loss == pytest.approx(math.log(2 * K - 1), rel=1e-6)


def test_a_checkpoint_holds_every_parameter(method: SimCLR) -> None:
    held = {id(parameter) for part in method.parts.values() for parameter in part.parameters()}
    assert held == {id(parameter) for parameter in method.parameters()}
    assert {id(parameter) for parameter in method.backbone.parameters()} < held


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_a_loop_of_lightlys_loss(dtype: torch.dtype) -> None:
    criterion = pytest.importorskip("lightly.loss").NTXentLoss(temperature=0.5)
    method = tiny("simclr", temperature=0.5).to(dtype)
    theirs = copy.deepcopy(method.f)
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.06) for module in (method.f, theirs)]
    bound = 1e-5 if dtype == torch.float32 else 1e-10
    for update in range(1 if dtype == torch.float32 else 4):  # rounding errors grow with the updates
        (x0, x1), _ = batch(update)
        ours = method(x0.to(dtype), x1.to(dtype))["loss"]
        z0, z1 = theirs(torch.cat((x0, x1)).to(dtype))["projection"].chunk(2)
        loss = criterion(z0, z1)
        for optimizer, value in zip(optimizers, (ours, loss), strict=True):
            optimizer.zero_grad()
            torch.autograd.backward(value)
            optimizer.step()
        torch.testing.assert_close(ours, loss, rtol=bound, atol=bound)
    for found, expected in zip(method.f.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=bound, atol=bound)
