"""Maximum likelihood of a Residual Flow: its gradient is unbiased, and so are the bits/dim of held-out images."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from copgen.data import digits
from copgen.generators.residual_flow import FlowConfig, ResidualFlow, bits_per_dim
from copgen.generators.residual_flow.log_det import SeriesLength
from copgen.stages.generator.likelihood import dequantise, estimated_bits, mean_bits
from tests.generators.residual_flow.flows import images, small_flow
from tests.stages.small import FLOW

RATE, EXACT, LONGEST = 1.0, 2, 16
CONFIG = FlowConfig(image_size=2, blocks=(1, 1), width=3, linear_blocks=1, linear_width=4, coeff=0.7, logit_alpha=0.05)


def test_the_gradient_of_the_loss_is_unbiased() -> None:
    flow = small_flow(CONFIG)
    x = images(CONFIG, 1)
    parameters = list(flow.parameters())
    exact = mean_bits(flow.log_prob(x), dim=4, levels=256)
    expected = torch.autograd.grad(exact, parameters)
    # The mean over all signs is the expectation; blocks may share them, since the loss is a sum over blocks.
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)), dtype=torch.float64)
    probes = signs[:, None].expand(-1, flow.residual_blocks, -1)
    mean: Tensor = torch.zeros((), dtype=torch.float64)
    for extra in range(LONGEST + 1):
        length = SeriesLength(exact=EXACT, extra=extra, rate=RATE)
        share = math.exp(-RATE) * RATE**extra / math.factorial(extra)
        log_prob = flow.log_prob(x.expand(len(signs), -1, -1, -1), probes, length)
        mean = mean + share * mean_bits(log_prob, dim=4, levels=256)
    found = torch.autograd.grad(mean, parameters)
    assert float(mean.detach()) == pytest.approx(float(exact.detach()), abs=1e-6)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-5)
    assert sum(float(one.abs().max()) > 1e-3 for one in expected) > len(expected) / 2


def test_the_bits_of_held_out_images_are_those_of_the_exact_log_determinant_within_their_error() -> None:
    torch.manual_seed(0)
    flow = ResidualFlow(FLOW)
    flow.power_iterate(100)
    pixels = digits.load_levels("test")[0][:60]
    with torch.no_grad():
        x = dequantise(pixels.float(), levels=17, seed=0, rows=range(60))
        exact = float(bits_per_dim(flow.log_prob(x), latent_dim=64, levels=17).mean())
    found = estimated_bits(flow, pixels, levels=17)
    assert 0 < found.error < 0.05
    assert abs(found.mean - exact) < 0.1 * found.error  # the same images and noise: only the trace is estimated
    assert estimated_bits(flow, pixels, levels=17) == found


def test_the_error_of_the_bits_shrinks_with_the_number_of_images() -> None:
    torch.manual_seed(0)
    flow = ResidualFlow(FLOW)
    pixels = digits.load_levels("train")[0]
    few, many = (estimated_bits(flow, pixels[:count], levels=17) for count in (64, 512))
    assert 0 < many.error < few.error / 1.5
    assert abs(few.mean - many.mean) < 4 * few.error


def test_white_and_black_pixels_have_finite_logits() -> None:
    pixels = torch.tensor([0.0, 255.0]).view(1, 1, 1, 2).expand(2000, 1, 2, 2).contiguous()
    x = dequantise(pixels, levels=256, seed=0, rows=range(2000))
    assert torch.equal((256 * x).floor().clamp_max(255), pixels)
    flow = ResidualFlow(FlowConfig(image_size=2, blocks=(0,), linear_blocks=0))
    z, log_det = flow.eval().encode(x)
    assert bool(z.isfinite().all())
    assert bool(log_det.isfinite().all())
