"""Each family on its own, as a narrow network: round trip, gradients, precision, priors, what frozen means."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen import generators
from copgen.generators.protocol import Generator
from copgen.generators.weights_files import Sources
from copgen.latents.prior import Prior
from copgen.runtime.errors import UsageError
from copgen.storage.files import sha256_of
from copgen.storage.tensors import save_tensors
from tests.generators import narrow

Load = Callable[..., Generator]
GANS = narrow.NAMES[:3]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: narrow.published(name, tmp_path_factory.mktemp(name)) for name in narrow.NAMES}


@pytest.fixture(scope="module")
def load(files: dict[str, Path]) -> Load:
    """Loads the narrow network of a family, once for each combination of options."""
    known: dict[tuple[Any, ...], Generator] = {}

    def loaded(name: str, **options: Any) -> Generator:
        key = (name, *sorted(options.items()))
        if key not in known:
            known[key] = generators.load(name, weights=files[name], **options)
        return known[key]

    return loaded


def condition(G: Generator, count: int) -> Tensor | None:
    return G.sample_condition(range(count), 0)


@pytest.mark.parametrize("name", narrow.NAMES)
def test_importing_changes_nothing(name: str, files: dict[str, Path], load: Load, tmp_path: Path) -> None:
    convert = generators.entry(name).convert
    assert convert is not None
    converted = convert(Sources(weights=files[name]))
    path = tmp_path / "imported.safetensors"
    save_tensors(path, converted.tensors, kind="generator", header=converted.header)
    G, imported = load(name), generators.load(name, weights=path)
    z = G.sample_prior(range(2), 3)
    assert torch.equal(imported(z, condition(imported, 2)), G(z, condition(G, 2)))
    weights = files[name] / "G_ema_best0.pth" if files[name].is_dir() else files[name]
    assert imported.weights_sha256 == G.weights_sha256 == sha256_of(weights)
    assert imported.settings == G.settings
    assert imported.prior == G.prior


@pytest.mark.parametrize("name", narrow.NAMES)
def test_images_are_images_and_rows_are_functions_of_seed_and_index(name: str, load: Load) -> None:
    G = load(name)
    z = G.sample_prior(range(3), 5)
    images = G(z, condition(G, 3))
    assert images.shape == (3, G.channels, G.image_size, G.image_size)
    assert images.dtype == torch.float32
    assert float(images.std()) > 0.01
    assert float(images.abs().max()) <= 1.0
    assert torch.equal(G.sample_prior([2], 5), z[2:])
    drawn = condition(G, 40)
    if drawn is None:
        assert name in ("bigbigan", "residual-flow-mnist")
    else:
        assert drawn.shape == (40,)
        assert len(set(drawn.tolist())) > 4
        again = G.sample_condition([7], 0)
        assert again is not None
        assert int(again) == int(drawn[7])
        assert drawn.tolist() != G.sample_condition(range(40), 1).tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", narrow.NAMES)
def test_a_generator_stays_frozen(name: str, load: Load) -> None:
    G = load(name)
    z = G.sample_prior(range(2), 0).requires_grad_()
    before = G(z.detach(), condition(G, 2))
    torch.nn.ModuleList([G]).train()
    assert not any(module.training for module in G.modules())
    images = G(z, condition(G, 2))
    images.square().mean().backward()
    assert torch.equal(images.detach(), before)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in G.parameters())
    assert z.grad is not None
    assert float(z.grad.abs().min()) > 0.0


@pytest.mark.parametrize("name", narrow.NAMES)
def test_the_gradient_in_z_is_that_of_finite_differences(name: str, load: Load) -> None:
    G = load(name, precision="float64")
    z = G.sample_prior(range(2), 1).double()
    draw = torch.Generator().manual_seed(0)
    cotangent = torch.randn(2, G.channels, G.image_size, G.image_size, generator=draw, dtype=torch.float64)
    given = condition(G, 2)

    def value(z: Tensor) -> Tensor:
        weighed: Tensor = G(z, given) * cotangent
        return weighed.sum(dim=(1, 2, 3))

    direction = torch.randn(z.shape, generator=draw, dtype=torch.float64)
    z = z.requires_grad_()
    (gradient,) = torch.autograd.grad(value(z).sum(), z)
    step = 1e-6
    with torch.no_grad():
        slope = (value(z + step * direction) - value(z - step * direction)) / (2 * step)
    # Ten of the difference's own error: rounding of a value of 100 over the step, or the third derivative's share.
    assert (gradient * direction).sum(1).tolist() == pytest.approx(slope.tolist(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", narrow.NAMES)
def test_gradcheck(name: str, load: Load) -> None:
    G = load(name, precision="float64")
    given = condition(G, 1)

    def value(few: Tensor) -> Tensor:
        z = torch.cat((few, rest), dim=1)
        images = G(z, given)
        return torch.nn.functional.adaptive_avg_pool2d(images, 2)

    z = G.sample_prior([4], 1).double()
    few, rest = z[:, :3].clone().requires_grad_(), z[:, 3:]
    assert torch.autograd.gradcheck(value, (few,), eps=1e-6, atol=1e-6, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("name", GANS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_bfloat16_and_channels_last_give_nearly_the_same_images(name: str, layout: Any, load: Load) -> None:
    G, coarse = load(name), load(name, precision="bfloat16", memory_format=layout)
    same = load(name, memory_format=layout)
    z = G.sample_prior(range(2), 0)
    images = G(z, condition(G, 2))
    assert torch.allclose(same(z, condition(G, 2)), images, atol=2e-4)
    found = coarse(z, condition(G, 2))
    assert found.dtype == torch.float32
    # bfloat16 has 8 bits; the random networks here amplify, so the mean is what can be bounded.
    assert float((found - images).abs().mean()) < 0.1
    convs = [module for module in coarse.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(conv.weight.dtype == torch.bfloat16 for conv in convs)
    if layout == "channels_last":
        assert all(conv.weight.is_contiguous(memory_format=torch.channels_last) for conv in convs)


def test_priors_are_those_of_the_authors_unless_said_otherwise(load: Load) -> None:
    cut = Prior(kind="truncated_normal", scale=1.0, threshold=2.0)
    assert load("bigbigan").prior == load("biggan-deep-128").prior == cut
    assert load("icgan-128").prior == load("residual-flow-mnist").prior == Prior()
    assert load("bigbigan", prior="normal").prior == Prior()
    assert load("icgan-128", truncation=0.5).prior == cut.model_copy(update={"scale": 0.5})
    assert load("icgan-128", prior="truncated_normal").prior == cut
    assert load("bigbigan", threshold=1.5).prior == cut.model_copy(update={"threshold": 1.5})


def test_truncation_picks_the_statistics_of_biggan_deep_and_scales_its_z(load: Load) -> None:
    G, narrower = load("biggan-deep-128"), load("biggan-deep-128", truncation=0.5)
    assert narrower.prior.scale == narrower.settings["truncation"] == 0.5
    assert torch.equal(narrower.sample_prior(range(3), 0), 0.5 * G.sample_prior(range(3), 0))
    z = G.sample_prior(range(2), 0)
    assert not torch.allclose(narrower(z, condition(G, 2)), G(z, condition(G, 2)), atol=1e-3)


@pytest.mark.parametrize("name", GANS)
@pytest.mark.parametrize("truncation", [0.0, -0.5, 1.01, float("nan"), float("inf")])
def test_truncation_out_of_range_is_refused(name: str, truncation: float, files: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=rf"truncation {truncation:g} .*\(0, 1\].*'{name}'"):
        generators.load(name, weights=files[name], truncation=truncation)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("residual-flow-mnist", {"truncation": 0.5}, "truncation, .*'0.5'"),
        ("residual-flow-mnist", {"precision": "bfloat16"}, "bfloat16.*Use float32"),
        ("residual-flow-mnist", {"parameters": "emma"}, "Did you mean 'ema'"),
        ("bigbigan", {"inverse": "reference"}, "inverse, .*'reference'"),
        ("bigbigan", {"instances": "x.npy"}, r"instances, .*'x\.npy'"),
        ("bigbigan", {"threshold": 0.0}, "threshold 0 .*'bigbigan'"),
        ("icgan-128", {"prior": "normal", "truncation": 0.5}, "normal prior .*'icgan-128'.* truncation"),
        ("biggan-deep-128", {"precision": "float16"}, "precision 'float16'"),
    ],
)
def test_options_that_a_generator_does_not_support_are_refused(
    name: str, options: dict[str, Any], says: str, files: dict[str, Path]
) -> None:
    with pytest.raises(UsageError, match=says):
        generators.load(name, weights=files[name], **options)


@pytest.mark.parametrize("name", GANS)
def test_z_of_another_width_is_refused(name: str, load: Load) -> None:
    # The authors of IC-GAN sometimes draw 128 numbers for 120 coordinates; their code ignores the surplus.
    G = load(name)
    with pytest.raises(UsageError, match=rf"takes \(N, {G.latent_dim}\)"):
        G(torch.zeros(2, G.latent_dim + 5), condition(G, 2))


def test_the_published_rule_lets_items_of_a_batch_influence_each_other_and_the_tight_one_does_not(load: Load) -> None:
    loose, tight = load("residual-flow-mnist", inverse="reference"), load("residual-flow-mnist")
    # The others lie far out and take more rounds than the first.
    z = tight.sample_prior(range(4), 0) * torch.tensor([0.1, 6.0, 6.0, 6.0])[:, None]
    assert torch.allclose(tight(z)[:1], tight(z[:1]), atol=2e-6)
    assert float((loose(z)[:1] - loose(z[:1])).abs().max()) > 1e-5
    assert 1e-5 < float((loose(z) - tight(z)).abs().max()) < 0.1


def test_raw_and_averaged_parameters_differ(load: Load) -> None:
    z = load("residual-flow-mnist").sample_prior(range(2), 0)
    assert not torch.allclose(load("residual-flow-mnist")(z), load("residual-flow-mnist", parameters="raw")(z))


PEAK = """
import resource, sys
from copgen import generators
from copgen.generators import bigbigan
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
G = generators.load("bigbigan", weights=sys.argv[1])
peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(peak - sum(tensor.nbytes for tensor in G.state_dict().values()))
"""


def test_loading_keeps_little_more_than_the_file_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrow, "WIDTH", 48)
    path = narrow.bigbigan(tmp_path)
    size = path.stat().st_size
    assert size > 50e6
    command = [sys.executable, "-W", "ignore", "-c", PEAK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.2 * size + 16e6  # the chunks in float64, and the interpreter's own
