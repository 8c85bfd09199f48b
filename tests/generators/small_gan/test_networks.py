"""The networks of a small GAN: sizes, and images that depend on their own latent alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from copgen.generators.small_gan import Discriminator, GanConfig, GeneratorNetwork
from copgen.generators.small_gan.config import resolutions
from copgen.generators.small_gan.networks import variation
from copgen.runtime.seeds import seeded

TINY = GanConfig(latent_dim=5, width=4, discriminator_width=3)


def latents(count: int, dim: int = 5) -> Tensor:
    with seeded(2, "tests/gan"):
        return torch.randn(count, dim)


@pytest.mark.parametrize("size", [8, 14, 16, 20, 24, 28, 32, 48, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_any_size_that_is_a_small_number_doubled(size: int, channels: int) -> None:
    sides = resolutions(size)
    assert 4 <= sides[0] <= 7
    assert all(after == 2 * before for before, after in pairwise((*sides, size)))
    G = GeneratorNetwork(TINY, channels=channels, image_size=size).eval()
    x = G(latents(2))
    assert x.shape == (2, channels, size, size)
    assert bool((x.abs() <= 1.0).all())
    assert Discriminator(TINY, channels=channels, image_size=size)(x).shape == (2,)


@pytest.mark.parametrize("size", [4, 7, 9, 15, 18, 27, 30, 33, 100])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} pixels"):
        resolutions(size)


def test_channels_double_where_the_resolution_halves_up_to_a_limit() -> None:
    assert GanConfig(width=32).channels(64, width=32) == (256, 128, 64, 32)
    assert GanConfig(most_channels=100).channels(64, width=32) == (100, 100, 64, 32)


def test_the_default_is_small() -> None:
    G = GeneratorNetwork(GanConfig(), channels=1, image_size=28)
    D = Discriminator(GanConfig(), channels=1, image_size=28)
    assert sum(p.numel() for p in G.parameters()) == 237_313
    assert sum(p.numel() for p in D.parameters()) < 100_000


def test_after_training_an_image_depends_on_its_latent_alone() -> None:
    G = GeneratorNetwork(TINY, channels=1, image_size=8).double()
    z = latents(64).double()
    assert not torch.allclose(G(z)[:8], G(z[:8]))  # batch norms in training
    G.fix_statistics(torch.split(z, 16))
    assert not G.training
    torch.testing.assert_close(G(z)[:8], G(z[:8]))


def test_fixed_statistics_are_the_means_of_the_batches_whatever_came_before() -> None:
    G = GeneratorNetwork(TINY, channels=1, image_size=8).double()
    z = latents(64).double()
    G.fix_statistics(torch.split(z, 16))
    first = {name: value.clone() for name, value in G.state_dict().items()}
    G.train()
    G(5.0 * z)
    G.fix_statistics(torch.split(z, 16))
    assert all(torch.equal(value, first[name]) for name, value in G.state_dict().items())
    projected = G.project(z).view(64, -1, 4, 4)
    torch.testing.assert_close(first["layers.0.running_mean"], projected.mean(dim=(0, 2, 3)))


def test_images_that_look_alike_vary_less() -> None:
    same = torch.ones(16, 2, 3, 3)
    assert float(variation(same).max()) < 1e-3
    with seeded(3, "tests/gan"):
        different = torch.randn(16, 2, 3, 3)
    found = variation(different)
    assert found.shape == (16,)
    assert torch.equal(found[:2].repeat(8), found)
    assert 0.5 < float(found.mean()) < 1.1
