"""The navigator T_z: its two initialisations, and its file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from copgen.latents import load_navigator
from copgen.latents.navigator import FILE_NAME, load_navigator_with_header, new_navigator, save_navigator
from copgen.latents.prior import Prior
from copgen.runtime.errors import DataError
from copgen.storage.tensors import load_tensors, save_tensors

PRIORS = {
    "normal": Prior(),
    "wide": Prior(scale=1.4),
    "truncated": Prior(kind="truncated_normal", threshold=2.0),
}


@pytest.mark.parametrize("hidden", [None, 5])
def test_it_is_linear_relu_linear_with_a_residual(hidden: int | None) -> None:
    navigator = new_navigator(4, hidden=hidden, prior=Prior(), seed=0)
    z = Prior().draw(range(3), dim=4, seed=1)
    weights = navigator.state_dict()
    h = F.relu(z @ weights["layers.0.weight"].T + weights["layers.0.bias"])
    expected = h @ weights["layers.2.weight"].T + weights["layers.2.bias"]
    torch.testing.assert_close(navigator.displace(z), expected)
    torch.testing.assert_close(navigator(z), z + expected)
    assert weights["layers.0.weight"].shape == (hidden or 4, 4)
    assert len(weights) == 4


@pytest.mark.parametrize("std", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("dim", [2, 64, 120])
def test_target_std_is_met_exactly(dim: int, prior: str, std: float) -> None:
    navigator = new_navigator(dim, init="target_std", std=std, prior=PRIORS[prior], seed=3)
    rms = []
    for first in (0, 10**6):
        z = PRIORS[prior].draw(range(first, first + 8192), dim=dim, seed=3)
        with torch.no_grad():
            rms.append(float(navigator.displace(z).double().square().mean().sqrt()))
    assert rms[0] == pytest.approx(std, rel=1e-6)
    # On latents that it was not scaled by, too.
    assert rms[1] == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("dim", [64, 120, 256])
def test_the_default_moves_by_about_a_quarter_of_z(dim: int) -> None:
    """Weights of variance 1/3d give ReLU outputs of second moment 1/6; then 1/18 and sqrt(1/18) = 0.236."""
    rms = []
    for seed in range(4):
        navigator = new_navigator(dim, prior=Prior(), seed=seed)
        with torch.no_grad():
            rms.append(float(navigator.displace(Prior().draw(range(2000), dim=dim, seed=9)).square().mean().sqrt()))
    assert sum(rms) / len(rms) == pytest.approx((1.0 / 18.0) ** 0.5, rel=0.06)


@pytest.mark.parametrize(("dim", "hidden"), [(16, 64), (64, 16)])
def test_the_default_is_the_framework_s_rule(dim: int, hidden: int) -> None:
    navigator = new_navigator(dim, hidden=hidden, prior=Prior(), seed=0)
    for name, parameter in navigator.named_parameters():
        bound = (dim if name.startswith("layers.0") else hidden) ** -0.5
        assert float(parameter.detach().abs().max()) <= bound
        # Uniform in +-bound: the second moment is bound^2 / 3, and its relative scatter is sqrt(0.8 / n).
        scatter = (0.8 / parameter.numel()) ** 0.5
        assert float(parameter.detach().square().mean()) == pytest.approx(bound**2 / 3, rel=4 * scatter)


def test_the_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(0)
    first = new_navigator(8, prior=Prior(), seed=1).state_dict()
    torch.manual_seed(5)
    again = new_navigator(8, prior=Prior(), seed=1).state_dict()
    other = new_navigator(8, prior=Prior(), seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    assert not torch.equal(first["layers.0.weight"], first["layers.2.weight"])


def test_it_can_be_trained() -> None:
    navigator = new_navigator(4, init="target_std", prior=Prior(), seed=0)
    torch.autograd.backward(navigator(torch.ones(2, 4)).sum())
    assert all(parameter.grad is not None for parameter in navigator.parameters())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run" / FILE_NAME
    save_navigator(path, new_navigator(4, hidden=6, prior=Prior(), seed=0), made_by={"generator": "toy"})
    return path


def test_a_saved_navigator_comes_back_equal(file: Path) -> None:
    source = new_navigator(4, hidden=6, prior=Prior(), seed=0)
    z = Prior().draw(range(3), dim=4, seed=0)
    for path in (file, str(file), file.parent, str(file.parent)):
        loaded = load_navigator(path)
        assert torch.equal(loaded(z), source(z).detach())
        assert (loaded.latent_dim, loaded.hidden, loaded.training) == (4, 6, False)
        assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert load_navigator_with_header(file)[1]["made_by"] == {"generator": "toy"}


def test_a_missing_navigator_is_named(tmp_path: Path) -> None:
    for path, named in (("runs/none", f"runs/none/{FILE_NAME}"), ("none.safetensors", "none.safetensors")):
        with pytest.raises(DataError) as caught:
            load_navigator(tmp_path / path)
        assert str(tmp_path / named) in str(caught.value)


def test_a_truncated_navigator_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(0, len(whole), 37):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match=re.escape(str(file))):
            load_navigator(file)


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ({"latent_dim": 4}, r"\(None, 4\)"),
        ({"hidden": 6}, r"\(6, None\)"),
        ({"latent_dim": 5, "hidden": 6}, r"\(6, 5\)"),
        ({"latent_dim": 10**12, "hidden": 10**12}, r"\(1000000000000, 1000000000000\)"),
        ({"latent_dim": -4, "hidden": "six"}, r"\(six, -4\)"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(file: Path, header: dict[str, Any], match: str) -> None:
    tensors, _ = load_tensors(file, kind="navigator")
    save_tensors(file, tensors, kind="navigator", header=header)
    with pytest.raises(DataError, match=match) as caught:
        load_navigator(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers.0.weight", None),
        ("layers.2.weight", None),
        ("layers.4.weight", torch.ones(1)),
        ("layers.2.bias", torch.ones(5)),
        ("layers.2.bias", torch.full((4,), float("nan"))),
    ],
)
def test_tensors_that_do_not_fit_are_refused(file: Path, name: str, value: torch.Tensor | None) -> None:
    tensors, header = load_tensors(file, kind="navigator")
    tensors.pop(name, None)
    if value is not None:
        tensors[name] = value
    save_tensors(file, tensors, kind="navigator", header={key: header[key] for key in ("latent_dim", "hidden")})
    with pytest.raises(DataError, match=f"'{name}'"):
        load_navigator(file)


def test_another_kind_of_file_is_refused(file: Path) -> None:
    save_tensors(file, {"a": torch.ones(1)}, kind="encoder", header={})
    with pytest.raises(DataError, match=r"the header of 'encoder', not of 'navigator'"):
        load_navigator(file)
