"""A flow as a generator: the protocol, its file, and the files that are not one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from copgen.generators import load
from copgen.generators.load_options import Precision
from copgen.generators.residual_flow import FlowConfig, folded
from copgen.generators.residual_flow.folded import FoldedNet
from copgen.generators.residual_flow.generator import FlowGenerator, load_flow, save_flow
from copgen.generators.residual_flow.inversion import FixedPoint
from copgen.generators.residual_flow.model import ResidualBlock
from copgen.latents.prior import Prior
from copgen.runtime.dispatch import Choice, choose
from copgen.runtime.errors import DataError
from copgen.storage.files import sha256_of
from copgen.storage.tensors import load_tensors, save_tensors
from tests.generators.residual_flow.flows import CONFIGS, small_flow

CONFIG = CONFIGS["multi-scale with linear blocks"]
PRIOR = Prior(scale=1.2)
MADE_BY = {"command": "by hand", "settings": {"seed": 0}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flow.safetensors"
    save_flow(path, small_flow(CONFIG).float(), prior=PRIOR, made_by=MADE_BY)
    return path


def test_a_saved_flow_comes_back_equal(file: Path) -> None:
    source = FlowGenerator(small_flow(CONFIG).float(), name="toy", prior=PRIOR)
    G = load_flow(file, name="toy")
    z = G.sample_prior(range(6), seed=0)
    assert torch.equal(G.flow.encode_only((source(z) + 1) / 2), source.flow.encode_only((source(z) + 1) / 2))
    assert (G.name, G.latent_dim, G.image_size, G.channels) == ("toy", 32, 4, 2)
    assert G.prior == PRIOR
    assert G.made_by == MADE_BY
    assert G.weights_sha256 == sha256_of(file)
    assert torch.equal(G(z), load_flow(file, name="toy")(z))
    # The rule of inversion is not in the file; the source's is finer.
    assert float((G(z) - source(z)).abs().max()) < 1e-4


def test_images_are_in_range_and_the_encoder_inverts() -> None:
    G = FlowGenerator(small_flow(CONFIG), name="toy", prior=Prior())
    z = G.sample_prior(range(20), seed=0).double()
    x = G(z)
    assert x.shape == (20, 2, 4, 4)
    assert float(x.min()) >= -1.0
    assert float(x.max()) <= 1.0
    inside = (x.abs() < 1.0).flatten(1).all(1)
    assert int(inside.sum()) > 3
    assert float((G.encode(x[inside]) - z[inside]).abs().max()) < 1e-9
    assert float((G(G.encode(x)) - x).abs().max()) < 1e-9


def test_the_generator_is_frozen_and_differentiable_in_z() -> None:
    flow = small_flow(CONFIG)
    G = FlowGenerator(flow, name="toy", prior=Prior())
    assert not G.training
    assert not any(parameter.requires_grad for parameter in G.parameters())
    z = G.sample_prior(range(2), seed=0).double().requires_grad_()
    x = G.flow.decode(z)
    inside = ((x > 0.0) & (x < 1.0)).double()
    (expected,) = torch.autograd.grad(x, z, 2.0 * inside)
    (gradient,) = torch.autograd.grad(G(z).sum(), z)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)
    assert bool((gradient != 0).any(1).all())


def altered(file: Path, change: dict[str, Any]) -> Path:
    tensors, header = load_tensors(file, kind="generator")
    header = {name: value for name, value in {**header, **change}.items() if value is not None}
    kind = header.pop("kind")
    header.pop("format")
    save_tensors(file, tensors, kind=kind, header=header)
    return file


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kind": "navigator"}, "'navigator', not of 'generator'"),
        ({"family": "biggan"}, "family 'biggan', .*'residual-flow'"),
        ({"family": None}, "family 'None'"),
        ({"config": None}, "header"),
        ({"config": []}, "header"),
        ({"config": {"coeff": 2.0}}, "header"),
        ({"config": {"depth": 2}}, "header"),
        ({"prior": None}, "header"),
        ({"prior": {"kind": "cauchy"}}, "header"),
        ({"config": {**CONFIG.model_dump(mode="json"), "width": 4}}, "has shape"),
        ({"config": {**CONFIG.model_dump(mode="json"), "linear_blocks": 3}}, "is missing"),
        ({"config": {**CONFIG.model_dump(mode="json"), "linear_blocks": 1}}, "is unexpected"),
    ],
)
def test_files_that_do_not_fit_are_refused(file: Path, change: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        load_flow(altered(file, change), name="toy")
    assert str(file) in str(caught.value)


def test_foreign_and_truncated_files_are_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for length in range(0, len(whole), len(whole) // 20):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match="safetensors file"):
            load_flow(file, name="toy")
    save_file({"weight": torch.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=r"other\.safetensors .*'copgen'"):
        load_flow(tmp_path / "other.safetensors", name="toy")
    with pytest.raises(DataError, match=r"none\.safetensors is missing"):
        load_flow(tmp_path / "none.safetensors", name="toy")


def test_weights_that_are_not_a_contraction_are_detected_when_sampling(tmp_path: Path) -> None:
    flow = small_flow(FlowConfig(image_size=2, blocks=(0,), linear_blocks=1, linear_width=4)).float()
    broken = copy.deepcopy(flow)
    with torch.no_grad():
        for layer in broken.lipschitz_layers():
            layer.weight.mul_(5.0)
            layer.u.zero_()
    path = tmp_path / "broken.safetensors"
    save_flow(path, broken, prior=Prior(), made_by={})
    G = load_flow(path, name="toy")
    with pytest.raises(DataError, match="did not converge"):
        G(G.sample_prior(range(8), seed=0))


def digits(precision: Precision, *, window: int | None = None) -> FlowGenerator:
    """The embedded generator; with another window of the acceleration where one is given."""
    G = load("digits", precision=precision)
    assert isinstance(G, FlowGenerator)
    for part in G.modules():
        if isinstance(part, ResidualBlock) and window is not None:
            part.rule = FixedPoint(window=window)
    return G


def test_acceleration_costs_digits_no_accuracy_and_saves_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, fast, plain = digits("float64"), digits("float32"), digits("float32", window=0)
    z = exact.sample_prior(range(256), seed=0)
    evaluated = {fast: 0, plain: 0}

    def count(G: FlowGenerator, x: Tensor) -> None:
        evaluated[G] += len(x)

    with torch.no_grad():
        images = exact(z.double())
        errors = {G: (G(z).double() - images).abs().flatten(1).amax(1) for G in (fast, plain)}
        # Evaluations inside of an operator are not seen.
        monkeypatch.setattr(folded, "choose", lambda *asked: Choice("reference", "counting"))
        for G in (fast, plain):
            for part in G.modules():
                if isinstance(part, FoldedNet):
                    part.register_forward_hook(lambda part, inputs, output, G=G: count(G, inputs[0]))
            torch.testing.assert_close(G(z).double(), images, rtol=0.0, atol=1e-4)
    assert float(errors[fast].max()) < 1e-4
    assert float(errors[fast].mean()) < float(errors[plain].mean())
    assert 0 < evaluated[fast] < 0.8 * evaluated[plain]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_an_image_depends_on_its_neighbours_in_the_last_bits_alone_and_not_at_all_where_inverted_natively(
    precision: Precision,
) -> None:
    G = digits(precision)
    z = G.sample_prior(range(64), seed=0)
    exactly = choose("flow inverse", torch.device("cpu"), G.flow.dtype).name == "native"
    atol = 0.0 if exactly else {torch.float32: 1e-4, torch.float64: 1e-11}[G.flow.dtype]
    with torch.no_grad():
        images = G(z)
        assert torch.equal(G(z), images)
        for count in (1, 2, 3, 5, 33):
            torch.testing.assert_close(G(z[:count]), images[:count], rtol=0.0, atol=atol)
        torch.testing.assert_close(G(z.flip(0)).flip(0), images, rtol=0.0, atol=atol)
    # A loss is differentiated at the same images.
    assert torch.equal(G(z.requires_grad_()).detach(), images)


@pytest.mark.parametrize("pixels", [8, 3])
def test_the_number_of_threads_and_the_size_of_an_image_do_not_change_a_bit_with_native_layers(pixels: int) -> None:
    if (choice := choose("flow inverse", torch.device("cpu"), torch.float32)).name != "native":
        pytest.skip(choice.reason)
    config = FlowConfig(image_size=pixels, blocks=(0,), linear_blocks=2, linear_width=6, coeff=0.9)
    G = FlowGenerator(small_flow(config, rule=FixedPoint()).float(), name="toy", prior=PRIOR)
    z = G.sample_prior(range(2501 if pixels == 8 else 64), seed=0)
    threads = torch.get_num_threads()
    with torch.no_grad():
        images = G(z)
        assert torch.equal(torch.cat((G(z[:11]), G(z[11:]))), images)
        try:
            for count in (1, 2, 3, 4):
                torch.set_num_threads(count)
                assert torch.equal(G(z), images)
        finally:
            torch.set_num_threads(threads)
