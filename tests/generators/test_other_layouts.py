"""Weights that do not lie as published: one level down, beside other networks, or with the names of another network."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from copgen import generators
from copgen.generators import bigbigan
from copgen.generators.protocol import Generator
from copgen.generators.weights_files import Sources
from copgen.runtime.errors import DataError
from copgen.stages.generator.import_weights import import_generator
from copgen.storage.tensors import save_tensors
from tests.cli.command import copgen as command
from tests.generators import narrow

State = dict[str, Any]


def weights_file(name: str, folder: Path) -> Path:
    path = narrow.published(name, folder)
    return path / "G_ema_best0.pth" if path.is_dir() else path


def images(G: Generator) -> Tensor:
    made: Tensor = G(G.sample_prior(range(1), 0), G.sample_condition(range(1), 0))
    return made.detach()


# ---- names and shapes of another network


def conditional_state() -> dict[str, Tensor]:
    """What the authors of BigGAN save: a class table with a row of its own for every class."""
    tensors = narrow.bigbigan_state()
    rows = torch.randn(tensors["shared.weight"].shape, generator=torch.Generator().manual_seed(1))
    return {**tensors, "shared.weight": rows}


@pytest.mark.parametrize("name", ["bigbigan", "icgan-128"])
@pytest.mark.parametrize("place", [None, "state_dict"])
def test_a_class_conditional_biggan_is_refused(name: str, place: str | None, tmp_path: Path) -> None:
    path, state = tmp_path / "G_ema.pth", conditional_state()
    torch.save(state if place is None else {place: state}, path)
    with pytest.raises(DataError, match=re.escape(str(path))) as caught:
        generators.load(name, weights=path)
    assert "class-conditional BigGAN" in caught.value.what
    assert "shared.weight" in caught.value.what
    ended = command("generator", "import", name, path, "--out", tmp_path / "out.safetensors")
    assert ended.code == 3
    assert not (tmp_path / "out.safetensors").exists()


def test_one_that_was_imported_before_is_refused_as_well(tmp_path: Path) -> None:
    path = narrow.bigbigan(tmp_path)
    out = tmp_path / "bigbigan.safetensors"
    import_generator("bigbigan", path, out=out)
    generators.load("bigbigan", weights=out)
    converted = bigbigan.convert(Sources(weights=path))
    tensors = {**converted.tensors, "shared.weight": conditional_state()["shared.weight"]}
    save_tensors(out, tensors, kind="generator", header=converted.header)
    with pytest.raises(DataError, match="class-conditional BigGAN") as caught:
        generators.load("bigbigan", weights=out)
    assert str(out) in caught.value.what


def test_rounding_does_not_make_a_bigbigan_conditional(tmp_path: Path) -> None:
    tensors = narrow.bigbigan_state()
    noise = torch.randn(tensors["shared.weight"].shape, generator=torch.Generator().manual_seed(1))
    torch.save({**tensors, "shared.weight": tensors["shared.weight"] + 1e-6 * noise}, tmp_path / "a.pth")
    generators.load("bigbigan", weights=tmp_path / "a.pth")


# ---- weights below the top

DISCRIMINATOR = {"blocks.0.0.conv1.weight": torch.ones(1), "linear.weight": torch.ones(1)}
WRAPPED: dict[str, Callable[[State], State]] = {
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1}]}},
    "models.G": lambda state: {"models": {"G": state, "z_dim": 3}},
    "two names": lambda state: {"G": state, "generator": state},
    "prefix": lambda state: {"state_dict": {f"module.G.{name}": value for name, value in state.items()}},
    "beside D": lambda state: {"G": state, "D": DISCRIMINATOR},
    "one table": lambda state: (
        {"critic.bias": torch.ones(1)} | {f"generator.{name}": value for name, value in state.items()}
    ),
}


@pytest.mark.parametrize("layout", WRAPPED)
@pytest.mark.parametrize("name", narrow.NAMES)
def test_the_weights_are_found_below_the_top(name: str, layout: str, tmp_path: Path) -> None:
    path = weights_file(name, tmp_path)
    options: dict[str, Any] = {"parameters": "raw"} if name == "residual-flow-mnist" else {}
    before = images(generators.load(name, weights=path, **options))
    content: State = torch.load(path, weights_only=False)
    torch.save(WRAPPED[layout](content.get("state_dict", content)), path)
    assert torch.equal(images(generators.load(name, weights=path, **options)), before)


@pytest.mark.parametrize("name", narrow.NAMES)
def test_of_two_networks_none_is_chosen(name: str, tmp_path: Path) -> None:
    path = weights_file(name, tmp_path)
    content: State = torch.load(path, weights_only=False)
    state: State = content.get("state_dict", content)
    torch.save({"models": {"G": state, "G_ema": dict(state)}}, path)
    with pytest.raises(DataError, match=re.escape(str(path))) as caught:
        generators.load(name, weights=path)
    assert "'models.G', 'models.G_ema'" in caught.value.what


@pytest.mark.parametrize("other", narrow.NAMES)
@pytest.mark.parametrize("name", narrow.NAMES)
def test_another_family_below_the_top_is_named_with_its_place(name: str, other: str, tmp_path: Path) -> None:
    if name == other:
        return
    path = weights_file(other, tmp_path)
    content: State = torch.load(path, weights_only=False)
    torch.save({"nets": {"net": content.get("state_dict", content)}}, path)
    with pytest.raises(DataError, match=r"'nets\.net'") as caught:
        generators.load(name, weights=path)
    assert other in caught.value.fix


@pytest.mark.parametrize("content", [{}, {"a": {"b": torch.ones(1)}}, [torch.ones(1)], torch.ones(1), {1: {2: 3}}])
@pytest.mark.parametrize("name", narrow.NAMES)
def test_a_file_without_a_network_is_refused(name: str, content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "a.pth"))):
        generators.load(name, weights=tmp_path / "a.pth")


def test_a_checkpoint_of_a_flow_may_lie_below_the_top(tmp_path: Path) -> None:
    path = narrow.residual_flow_mnist(tmp_path)
    before = images(generators.load("residual-flow-mnist", weights=path))
    torch.save({"checkpoint": torch.load(path, weights_only=False)}, path)
    assert torch.equal(images(generators.load("residual-flow-mnist", weights=path)), before)


def test_the_state_of_a_flow_alone_says_which_parameters_it_has(tmp_path: Path) -> None:
    path = narrow.residual_flow_mnist(tmp_path)
    torch.save(torch.load(path, weights_only=False)["state_dict"], path)
    with pytest.raises(DataError, match=re.escape(str(path))) as caught:
        generators.load("residual-flow-mnist", weights=path)
    assert "raw" in caught.value.fix
    generators.load("residual-flow-mnist", weights=path, parameters="raw")


def test_a_pickled_module_is_read_like_its_state(tmp_path: Path) -> None:
    path = narrow.bigbigan(tmp_path)
    before = images(generators.load("bigbigan", weights=path))
    module = torch.nn.Module()
    for name, value in torch.load(path, weights_only=True).items():
        *above, last = name.split(".")
        place = module
        for part in above:
            if part not in place._modules:
                place.add_module(part, torch.nn.Module())
            place = getattr(place, part)
        place.register_buffer(last, value)
    torch.save({"G": module}, path)
    assert torch.equal(images(generators.load("bigbigan", weights=path)), before)


# ---- safetensors and configurations with the names of a hub

BESIDE = {
    "hub": ("model.safetensors", "config.json"),
    "old hub": ("pytorch_model.bin", "config.json"),
    "published": ("biggan-deep-128-pytorch_model.bin", "biggan-deep-128-config.json"),
    "published names": ("biggan-deep-128-model.safetensors", "biggan-deep-128-config.json"),
    "own name": ("mine.safetensors", "config.json"),
    "own name, published configuration": ("mine.bin", "biggan-deep-128-config.json"),
}


@pytest.mark.parametrize("layout", BESIDE)
def test_the_configuration_is_found_beside_the_weights(layout: str, tmp_path: Path) -> None:
    published, weights_directory = narrow.biggan_deep_128(tmp_path), tmp_path / "snapshot"
    before = images(generators.load("biggan-deep-128", weights=published))
    weights_directory.mkdir()
    weights, config = (weights_directory / name for name in BESIDE[layout])
    config.write_bytes((tmp_path / "biggan-deep-128-config.json").read_bytes())
    tensors = torch.load(published, weights_only=True)
    save_file(tensors, weights) if weights.suffix == ".safetensors" else torch.save(tensors, weights)
    assert torch.equal(images(generators.load("biggan-deep-128", weights=weights)), before)
    whole_folder = layout != "own name"  # a safetensors file of any name may be one that was imported
    import_generator("biggan-deep-128", weights_directory if whole_folder else weights, out=tmp_path / "in.safetensors")
    assert torch.equal(images(generators.load("biggan-deep-128", weights=tmp_path / "in.safetensors")), before)


@pytest.mark.parametrize("name", ["bigbigan", "icgan-128", "residual-flow-mnist"])
def test_published_tensors_in_a_safetensors_file_load(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"parameters": "raw"} if name == "residual-flow-mnist" else {}
    path = weights_file(name, tmp_path)
    before = images(generators.load(name, weights=path, **options))
    content: State = torch.load(path, weights_only=False)
    state = {key: value.clone() for key, value in content.get("state_dict", content).items()}
    save_file(state, path.with_suffix(".safetensors"))
    assert torch.equal(images(generators.load(name, weights=path.with_suffix(".safetensors"), **options)), before)
