"""Generators by name, and the properties of the one that ships with copgen: `digits`."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from copgen import generators
from copgen.data import digits
from copgen.generators.registry import embedded_weights
from copgen.runtime.dispatch import choose
from copgen.runtime.errors import DataError, ExitCode, UsageError
from copgen.storage.files import sha256_of


@pytest.fixture(scope="module")
def G() -> generators.Generator:
    return generators.load("digits")


@pytest.mark.parametrize("name", ["digit", "bigbigun", "", "../digits"])
def test_an_unknown_name_is_a_usage_error(name: str) -> None:
    for call in (generators.load, generators.entry):
        with pytest.raises(UsageError, match=f"no generator '{name}'") as caught:
            call(name)
        assert caught.value.code is ExitCode.USAGE
        assert any(known in caught.value.fix for known in generators.names())


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        generators.load("digit")


def test_names_are_sorted_and_described() -> None:
    assert "digits" in generators.names()
    assert generators.names() == sorted(generators.names())
    assert all(generators.entry(name).about for name in generators.names())


def test_missing_and_foreign_weights_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.safetensors is missing"):
        generators.load("digits", weights=tmp_path / "none.safetensors")
    (tmp_path / "page.safetensors").write_text("<html></html>")
    with pytest.raises(DataError, match="safetensors file"):
        generators.load("digits", weights=str(tmp_path / "page.safetensors"))


def test_the_shape_of_digits(G: generators.Generator) -> None:
    assert (G.name, G.latent_dim, G.image_size, G.channels) == ("digits", 64, 8, 1)
    assert G.sample_condition(range(3), 0) is None


def test_images_are_in_range_and_differ(G: generators.Generator) -> None:
    with torch.no_grad():
        x = G(G.sample_prior(range(64), seed=0))
    assert x.shape == (64, 1, 8, 8)
    assert x.dtype == torch.float32
    assert -1.0 <= float(x.min()) < -0.8
    assert 0.8 < float(x.max()) <= 1.0
    assert float(torch.pdist(x.flatten(1)).min()) > 0.1


def test_a_latent_is_a_function_of_seed_and_index(G: generators.Generator) -> None:
    whole = G.sample_prior(range(10), seed=3)
    assert whole.dtype == torch.float32
    assert torch.equal(G.sample_prior([7, 2], seed=3), whole[[7, 2]])
    assert not torch.equal(G.sample_prior(range(10), seed=4), whole)


def test_an_image_depends_on_its_latent_alone(G: generators.Generator) -> None:
    z = G.sample_prior(range(16), seed=0)
    with torch.no_grad():
        whole = G(z)
        split = torch.cat((G(z[:5]), G(z[5:])))
    if choose("flow inverse", z.device, z.dtype).name == "native":
        assert torch.equal(whole, split)
    # PyTorch's products of another batch size sum in another order; the rule of inversion bounds what becomes of that.
    assert float((whole - split).abs().max()) < 1e-4


def test_it_is_frozen_and_differentiable_in_z(G: generators.Generator) -> None:
    assert not G.training
    assert not any(parameter.requires_grad for parameter in G.parameters())
    before = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    z = G.sample_prior(range(4), seed=0).requires_grad_()
    torch.autograd.backward(G(z).sum())
    assert z.grad is not None
    assert bool((z.grad != 0).any(1).all())
    assert bool(torch.isfinite(z.grad).all())
    assert all(torch.equal(before[name], tensor) for name, tensor in G.state_dict().items())


def test_the_gradient_points_where_the_image_goes(G: generators.Generator) -> None:
    """Against a central difference; float32 and a tolerance of 1e-6 leave about three digits."""
    z = G.sample_prior(range(4), seed=0)
    direction = G.sample_prior(range(100, 104), seed=0)
    pixels = G.sample_prior(range(200, 204), seed=0).view(4, 1, 8, 8)
    step = 1e-2
    with torch.no_grad():
        numeric = ((G(z + step * direction) - G(z - step * direction)) * pixels).flatten(1).sum(1) / (2 * step)
    z.requires_grad_()
    (gradient,) = torch.autograd.grad((G(z) * pixels).sum(), z)
    torch.testing.assert_close((gradient * direction).sum(1), numeric, rtol=0.05, atol=0.05)


def test_real_digits_come_back_through_the_latent(G: generators.Generator) -> None:
    from copgen.generators.residual_flow.generator import FlowGenerator

    assert isinstance(G, FlowGenerator)
    real = digits.load("test").images[:64]
    with torch.no_grad():
        z = G.encode(real)
        back = G(z)
    assert z.shape == (64, 64)
    assert float((back - real).abs().max()) <= 1e-4


def test_the_weights_are_small_and_say_how_they_were_made(G: generators.Generator) -> None:
    path = embedded_weights("digits")
    assert path is not None
    assert path.stat().st_size <= 4 * 2**20
    assert G.weights_sha256 == sha256_of(path)
    made_by = G.made_by
    assert made_by["command"] == "copgen generator fit digits"
    assert isinstance(made_by["settings"]["seed"], int)
    assert made_by["settings"]["updates"] >= 1
    for split in ("validation", "test"):
        # A uniform density over 17 levels spends log2 17 = 4.09 bits on every pixel.
        assert 0.0 < made_by["bits_per_dim"][split] < math.log2(17)
    quality = made_by["quality"]
    assert quality["inversion_error"] <= 1e-4
    assert quality["confident_share"] >= 0.8
    assert 0.0 <= quality["kept_share"] <= 1.0
    assert quality["classifier_accuracy"] > 0.97
