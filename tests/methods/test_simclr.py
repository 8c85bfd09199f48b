"""SimCLR: InfoNCE of both sides over one batch of both views, and the heads that a checkpoint holds."""

from __future__ import annotations

import math

import pytest
import torch

from copgen import encoders
from copgen.methods.simclr import SimCLR
from copgen.objectives import info_nce

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
