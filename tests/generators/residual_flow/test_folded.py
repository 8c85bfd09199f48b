"""g with its factors folded into the layers: the same map, with the same gradient, on whatever the block moves to."""

from __future__ import annotations

import copy

import pytest
import torch

from copgen.generators.residual_flow.folded import FoldedNet
from copgen.generators.residual_flow.inversion import FixedPoint, ReferenceRule
from copgen.generators.residual_flow.model import ResidualBlock, ResidualFlow
from copgen.runtime import philox
from copgen.runtime.dispatch import choose
from tests.generators.residual_flow.flows import CONFIGS, small_flow


def blocks(flow: ResidualFlow) -> list[ResidualBlock]:
    return [step for step in flow.steps() if isinstance(step, ResidualBlock)]


def taps(flow: ResidualFlow) -> list[tuple[ResidualBlock, torch.Tensor]]:
    """Every block, with images or vectors as it meets them."""
    x = 0.02 + 0.96 * philox.uniform(0, range(5), flow.config.latent_dim, stream="x")
    value = x.view(5, flow.config.channels, flow.config.image_size, -1).to(flow.dtype)
    found = []
    with torch.no_grad():
        for step in flow.steps():
            if isinstance(step, ResidualBlock):
                found.append((step, value))
                value = value + step.nnet(value)
            else:
                value = step(value)[0]
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_same_map_with_the_same_gradient(name: str) -> None:
    for block, value in taps(small_flow(CONFIGS[name])):
        folded = FoldedNet(block.nnet)
        x = value.clone().requires_grad_()
        expected, found = block.nnet(x), folded(x)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        cotangent = torch.cos(expected.detach())
        pulled = [torch.autograd.grad(y, x, cotangent)[0] for y in (found, expected)]
        torch.testing.assert_close(*pulled, rtol=1e-12, atol=1e-12)
        with torch.no_grad():
            before = x.detach().clone()
            torch.testing.assert_close(folded(before), found, rtol=0.0, atol=0.0)
            assert torch.equal(before, x)


def test_in_float32_it_is_as_near_to_float64_as_the_layers_are() -> None:
    flow = small_flow(CONFIGS["linear blocks only"]).float()
    for block, value in taps(flow.requires_grad_(False)):
        exact = copy.deepcopy(block.nnet).double()(value.double())
        bound = 16 * torch.finfo(torch.float32).eps * float(exact.abs().max())
        for differentiable in (False, True):
            with torch.set_grad_enabled(differentiable):
                assert float((FoldedNet(block.nnet)(value) - exact).abs().max()) < bound


@pytest.mark.parametrize("name", CONFIGS)
def test_linear_layers_in_float32_have_a_native_inverse(name: str) -> None:
    if (choice := choose("flow inverse", torch.device("cpu"), torch.float32)).name != "native":
        pytest.skip(choice.reason)
    for block, value in taps(small_flow(CONFIGS[name]).float().requires_grad_(False)):
        for dtype in (torch.float32, torch.float64):
            folded, y = FoldedNet(copy.deepcopy(block.nnet).to(dtype)), value.to(dtype)
            x = folded.invert(y, torch.full_like(y.flatten(1)[:, 0], 1e-6), window=3, max_rounds=500)
            assert (x is not None) is (value.dim() == 2 and dtype == torch.float32)
            w = folded.pull_back(y, y, torch.full_like(y.flatten(1)[:, 0], 1e-6), window=3, max_rounds=500)
            assert (w is None) is (x is None)
            if x is not None:
                torch.testing.assert_close(x + folded(x), y, rtol=0.0, atol=2e-6)


def test_it_is_made_when_a_flow_is_folded_and_dropped_when_its_weights_may_change() -> None:
    flow = small_flow(CONFIGS["multi-scale with linear blocks"])
    names = flow.state_dict().keys()
    assert all(block.folded is None for block in blocks(flow))
    flow.fold()
    assert all(block.folded is not None for block in blocks(flow))
    assert flow.state_dict().keys() == names
    assert all(
        buffer.dtype == torch.float32 for buffer in copy.deepcopy(flow).float().buffers() if buffer.is_floating_point()
    )
    flow.load_state_dict(flow.state_dict())
    assert all(block.folded is None for block in blocks(flow))
    flow.fold().train()
    assert all(block.folded is None for block in blocks(flow))


def test_the_rule_of_the_reference_takes_the_layers_as_they_are() -> None:
    flow = small_flow(CONFIGS["linear blocks only"])
    for block in blocks(flow):
        block.rule = ReferenceRule(backward=FixedPoint())
    assert all(block.folded is None for block in blocks(flow.fold()))
