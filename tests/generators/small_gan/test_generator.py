"""The file of a small GAN: written, read, refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import generators
from copgen.generators.small_gan import GanConfig, GeneratorNetwork
from copgen.generators.small_gan.generator import FAMILY, NAME, save_gan
from copgen.latents.prior import Prior
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from copgen.runtime.seeds import seeded
from copgen.storage.tensors import load_tensors, save_tensors

TINY = GanConfig(latent_dim=6, width=4)


def network() -> GeneratorNetwork:
    with seeded(0, "tests/gan"):
        G = GeneratorNetwork(TINY, channels=3, image_size=16)
        G.fix_statistics(torch.split(torch.randn(64, 6), 32))
    return G


def written(path: Path, **header: Any) -> Path:
    """A file, with some entries of its header replaced."""
    save_gan(path, network(), prior=Prior(), made_by={"command": "a test"})
    tensors, found = load_tensors(path, kind="generator")
    kept = {name: value for name, value in found.items() if name not in ("kind", "format")}
    save_tensors(path, tensors, kind="generator", header={**kept, **header})
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "generator.safetensors")


def test_a_generator_is_read_as_it_was_written(file: Path) -> None:
    G = generators.load("gan", weights=file)
    assert (G.name, G.latent_dim, G.image_size, G.channels) == (NAME, 6, 16, 3)
    assert G.made_by == {"command": "a test"}
    z = G.sample_prior(range(4), 0)
    torch.testing.assert_close(G(z), network()(z))
    assert not any(parameter.requires_grad for parameter in G.parameters())
    G.train()
    assert not any(module.training for module in G.modules())


@pytest.mark.parametrize("place", ["generator.safetensors", "."])
def test_its_file_or_run_folder_is_a_name(file: Path, place: str) -> None:
    assert torch.equal(
        generators.load(f"{file.parent}/{place}").state_dict()["network.project.weight"],
        generators.load("gan", weights=file).state_dict()["network.project.weight"],
    )


def test_options_choose_prior_precision_and_layout(file: Path) -> None:
    plain = generators.load("gan", weights=file)
    z = plain.sample_prior(range(3), 0)
    exact = generators.load("gan", weights=file, precision="float64")
    assert exact(z).dtype == torch.float64
    torch.testing.assert_close(exact(z).float(), plain(z), atol=1e-5, rtol=0)
    coarse = generators.load("gan", weights=file, precision="bfloat16", memory_format="channels_last")
    assert coarse(z).dtype == torch.float32
    torch.testing.assert_close(coarse(z), plain(z), atol=0.1, rtol=0)
    cut = generators.load("gan", weights=file, truncation=0.5)
    assert cut.prior == Prior(kind="truncated_normal", scale=0.5, threshold=2.0)
    with pytest.raises(UsageError, match="inverse"):
        generators.load("gan", weights=file, inverse="tight")


def test_it_is_differentiable_in_the_latents(file: Path) -> None:
    G = generators.load(str(file))
    z = G.sample_prior(range(2), 0).requires_grad_()
    G(z).sum().backward()
    assert z.grad is not None
    assert float(z.grad.abs().sum()) > 0.0


def test_a_latent_of_another_length_and_a_condition_are_refused(file: Path) -> None:
    G = generators.load(str(file))
    with pytest.raises(UsageError, match=r"\(2, 7\)"):
        G(torch.zeros(2, 7))
    with pytest.raises(UsageError, match="unconditional"):
        G(torch.zeros(2, 6), torch.zeros(2))


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ({"family": "residual-flow"}, "residual-flow"),
        ({"config": {"width": 0}}, "width"),
        ({"config": None}, "GanConfig"),
        ({"images": {"channels": 2, "size": 16}}, "channels"),
        ({"images": {"channels": 3, "size": 18}}, "18 pixels"),
        ({"images": {"channels": 1, "size": 16}}, "layers"),
        ({"prior": {"kind": "uniform"}}, "header"),
    ],
)
def test_a_header_that_does_not_describe_it_is_refused(tmp_path: Path, header: Mapping[str, Any], named: str) -> None:
    path = written(tmp_path / "other.safetensors", **header)
    with pytest.raises(DataError, match=named) as caught:
        generators.load("gan", weights=path)
    assert str(path) in caught.value.what


def test_there_are_no_default_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPGEN_WEIGHTS", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="gan") as caught:
        generators.load("gan")
    assert "copgen generator fit" in caught.value.fix
    written(tmp_path / "gan.safetensors")
    assert generators.load("gan").image_size == 16


def test_the_family_is_in_the_header(file: Path) -> None:
    assert load_tensors(file, kind="generator")[1]["family"] == FAMILY
