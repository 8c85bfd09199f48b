"""The whole flow: density against the full Jacobian, inverse, folding, and the layout of the public checkpoint."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from copgen.generators.residual_flow import FlowConfig, ResidualFlow, bits_per_dim
from copgen.generators.residual_flow.log_det import SeriesLength
from copgen.generators.residual_flow.model import ResidualBlock
from copgen.runtime import philox
from tests.generators.residual_flow.flows import CONFIGS, MNIST, dense_jacobian, images, small_flow


def jacobian_of(flow: ResidualFlow, x: Tensor) -> Tensor:
    """dz/dx of one image, (D, D)."""
    return dense_jacobian(lambda one: flow.encode_only(one[None])[0], x)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_exact_log_determinant_is_that_of_the_whole_jacobian(name: str) -> None:
    flow = small_flow(CONFIGS[name])
    x = images(flow.config, 3)
    z, log_det = flow.encode(x)
    assert z.shape == (3, flow.config.latent_dim)
    torch.testing.assert_close(flow.encode_only(x), z, rtol=1e-12, atol=1e-12)
    for k in range(3):
        expected = torch.linalg.slogdet(jacobian_of(flow, x[k])).logabsdet
        torch.testing.assert_close(log_det[k].detach(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("prior_scale", [1.0, 1.3])
@pytest.mark.parametrize("name", CONFIGS)
def test_log_prob_is_the_change_of_variables(name: str, prior_scale: float) -> None:
    flow = small_flow(CONFIGS[name])
    x = images(flow.config, 3)
    z, log_det = flow.encode(x)
    density = torch.exp(-0.5 * (z / prior_scale).square()) / (math.sqrt(2 * math.pi) * prior_scale)
    expected = density.log().sum(1) + log_det
    torch.testing.assert_close(flow.log_prob(x, prior_scale=prior_scale), expected, rtol=1e-12, atol=1e-12)


def test_the_density_integrates_to_one() -> None:
    """By the midpoint rule over four pixels; what lies beyond black and white is little with this squash."""
    flow = small_flow(FlowConfig(image_size=2, blocks=(0,), linear_blocks=2, linear_width=4, logit_alpha=1e-3))
    n = 16
    nodes = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    pixels = torch.cartesian_prod(nodes, nodes, nodes, nodes).view(-1, 1, 2, 2)
    with torch.no_grad():
        masses = flow.log_prob(pixels).exp()
    assert float(masses.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(masses.std()) > 0.1


@pytest.mark.parametrize("name", CONFIGS)
def test_the_series_takes_one_probe_for_each_block(name: str) -> None:
    flow = small_flow(CONFIGS[name], gain=0.3)
    x = images(flow.config, 1)
    n = 200
    shape = (n, flow.residual_blocks, flow.config.latent_dim)
    probes = philox.signs(0, range(n), shape[1] * shape[2], stream="probes").double().view(shape)
    length = SeriesLength(exact=30, extra=0, rate=1.0)
    with torch.no_grad():
        z, estimates = flow.encode(x.expand(n, *x.shape[1:]), probes, length)
        expected_z, expected = flow.encode(x)
    torch.testing.assert_close(z, expected_z.expand_as(z), rtol=1e-12, atol=1e-12)
    error = float(estimates.std()) / math.sqrt(n)
    assert abs(float(estimates.mean() - expected)) < 4 * error
    assert 0.0 < error < 0.1


@pytest.mark.parametrize("name", CONFIGS)
def test_decode_inverts_encode(name: str) -> None:
    flow = small_flow(CONFIGS[name])
    x = images(flow.config, 5)
    with torch.no_grad():
        assert float((flow.decode(flow.encode_only(x)) - x).abs().max()) < 1e-10
        z = philox.normal(0, range(5), flow.config.latent_dim, stream="z")
        assert float((flow.encode_only(flow.decode(z)) - z).abs().max()) < 1e-9


@pytest.mark.parametrize("name", CONFIGS)
def test_decode_is_differentiable_with_the_inverse_jacobian(name: str) -> None:
    flow = small_flow(CONFIGS[name]).fold()
    x = images(flow.config, 1)
    z = flow.encode_only(x)
    jacobian = dense_jacobian(lambda z: flow.decode(z[None]), z[0].detach())
    expected = torch.linalg.inv(jacobian_of(flow, x[0]))
    torch.testing.assert_close(jacobian, expected, rtol=1e-8, atol=1e-8)


def test_decode_stays_within_the_squashed_range() -> None:
    flow = small_flow(CONFIGS["multi-scale with linear blocks"]).fold()
    alpha = flow.config.logit_alpha
    squash = alpha / (1 - 2 * alpha)
    x = flow.decode(30.0 * philox.normal(0, range(20), flow.config.latent_dim, stream="z"))
    assert -squash <= float(x.min()) < 0.0
    assert 1.0 < float(x.max()) <= 1.0 + squash


@pytest.mark.parametrize("name", CONFIGS)
def test_folding_changes_nothing_but_what_is_trained(name: str) -> None:
    flow = small_flow(CONFIGS[name])
    x = images(flow.config, 3)
    z = philox.normal(0, range(3), flow.config.latent_dim, stream="z")
    folded = copy.deepcopy(flow).fold()
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    with torch.no_grad():
        assert torch.equal(folded.encode_only(x), flow.encode_only(x))
        torch.testing.assert_close(folded.decode(z), flow.decode(z), rtol=1e-11, atol=1e-11)
        assert torch.equal(folded.log_prob(x), flow.log_prob(x))
    assert folded.state_dict().keys() == flow.state_dict().keys()


def test_a_folded_flow_moves_as_a_whole() -> None:
    flow = small_flow(CONFIGS["multi-scale with linear blocks"]).fold().float()
    assert flow.decode(torch.zeros(2, flow.config.latent_dim)).dtype == torch.float32
    meta = copy.deepcopy(flow).to("meta")
    assert meta.encode_only(torch.zeros(2, 2, 4, 4, device="meta")).device.type == "meta"


def test_the_mnist_model_builds_encodes_and_decodes() -> None:
    torch.manual_seed(0)
    flow = ResidualFlow(MNIST).eval()
    flow.power_iterate(30)
    flow.fold()
    assert flow.config.latent_dim == 784
    assert flow.residual_blocks == 7
    torch.manual_seed(1)
    x = 0.02 + 0.96 * torch.rand(2, 1, 28, 28)
    z = flow.encode_only(x)
    assert z.shape == (2, 784)
    assert float((flow.decode(z) - x).abs().max()) < 1e-4
    start = z.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(flow.decode(start).mean(), start)
    assert bool((gradient != 0).any())


def test_names_and_shapes_are_those_of_the_public_checkpoint() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in ResidualFlow(MNIST).state_dict().items()}
    # The first block of all has no leading activation; the others have one, which shifts their layers by one place.
    for block, places in (("transforms.0.chain.2", (0, 2, 4)), ("transforms.0.chain.4", (1, 3, 5))):
        first, middle, last = (f"{block}.nnet.{place}" for place in places)
        assert shapes[f"{first}.weight"] == (4, 1, 3, 3)
        assert (shapes[f"{first}.u"], shapes[f"{first}.v"]) == ((4 * 784,), (784,))
        assert shapes[f"{middle}.weight"] == (4, 4, 1, 1)
        assert (shapes[f"{middle}.u"], shapes[f"{middle}.v"]) == ((4,), (4,))
        assert shapes[f"{last}.weight"] == (1, 4, 3, 3)
        assert (shapes[f"{last}.u"], shapes[f"{last}.v"]) == ((784,), (4 * 784,))
        assert all(f"{block}.nnet.{place}.bias" in shapes for place in places)
        betas = [name for name in shapes if name.startswith(block) and name.endswith("beta")]
        assert len(betas) == len(places) - (block == "transforms.0.chain.2")
        assert all(shapes[name] == (1,) for name in betas)
    for norm, channels in (
        ("transforms.0.chain.1", 1),
        ("transforms.0.chain.3", 1),
        ("transforms.1.chain.1", 4),
        ("transforms.2.chain.1", 16),
    ):
        assert shapes[f"{norm}.weight"] == shapes[f"{norm}.bias"] == (channels,)
        assert shapes[f"{norm}.initialized"] == ()
    assert shapes["transforms.1.chain.0.nnet.1.weight"] == (4, 4, 3, 3)
    assert shapes["transforms.2.chain.0.nnet.5.u"] == (16 * 49,)
    assert not [name for name in shapes if name.startswith("transforms.0.chain.0.")]


@pytest.mark.parametrize(
    ("blocks", "linear", "count"), [((1,), 0, 1), ((0,), 3, 3), ((2, 2, 2), 1, 7), ((16, 16, 16), 4, 52)]
)
def test_residual_blocks_are_counted(blocks: tuple[int, ...], linear: int, count: int) -> None:
    config = FlowConfig(image_size=4, blocks=blocks, width=1, linear_blocks=linear, linear_width=1)
    flow = ResidualFlow(config)
    assert flow.residual_blocks == count
    assert sum(isinstance(step, ResidualBlock) for step in flow.steps()) == count


@pytest.mark.parametrize(
    "field",
    [
        {"channels": 0},
        {"image_size": 1},
        {"width": 0},
        {"coeff": 1.0},
        {"coeff": 0.0},
        {"logit_alpha": 0.5},
        {"depth": 3},
    ],
)
def test_an_architecture_that_cannot_be_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FlowConfig(**field)


@pytest.mark.parametrize("levels", [17, 256])
def test_bits_per_dim_of_a_uniform_density(levels: int) -> None:
    """A flat density on [0, 1] has log p = 0 and spends log2(levels) bits on every pixel."""
    bits = bits_per_dim(torch.tensor([0.0, 64 * math.log(2.0)]), latent_dim=64, levels=levels)
    torch.testing.assert_close(bits, torch.tensor([math.log2(levels), math.log2(levels) - 1.0]))
