"""The forms of T_z that the paper does not have: without an output bias, centred, with noise, with a random sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.latents import Optimal, Prior
from copgen.latents.anatomy import anatomy
from copgen.latents.centring import for_sampling
from copgen.latents.navigator import FILE_NAME, Navigator, load_navigator_with_header, new_navigator, save_navigator
from copgen.runtime import philox
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.tensors import load_tensors, save_tensors

DIM, E = 6, 3
STOCHASTIC: dict[str, dict[str, Any]] = {
    "noise": {"noise_dim": E},
    "sign": {"random_sign": True},
    "noise, blocks": {"noise_dim": E, "spans": [(0, 2), (3, 6)]},
    "noise, sign, linear": {"noise_dim": E, "random_sign": True, "form": "linear"},
}
FORMS: dict[str, dict[str, Any]] = {
    **STOCHASTIC,
    "no output bias": {"output_bias": False},
    "centred": {"centred": True},
    "centred, all": {"centred": True, "noise_dim": E, "random_sign": True, "spans": [(1, 4)]},
}


def latents(rows: range | list[int]) -> Tensor:
    return Prior().draw(rows, dim=DIM, seed=0)


def made(form: str, **how: Any) -> Navigator:
    return new_navigator(DIM, prior=Prior(), seed=0, **{**FORMS[form], **how})


def at_rest(navigator: Navigator) -> Navigator:
    return for_sampling(navigator, prior=Prior(), seed=0)


@pytest.mark.parametrize("form", FORMS)
def test_a_row_depends_on_seed_and_index_alone(form: str) -> None:
    transform = Optimal(at_rest(made(form)), seed=5)
    whole = transform(latents(range(30)), None, range(30))
    chosen = [29, 3, 17]
    some = transform(latents(chosen), None, chosen)
    torch.testing.assert_close(some, whole[chosen], rtol=1e-5, atol=1e-6)
    again = transform(latents(chosen), None, torch.tensor(chosen))
    assert torch.equal(again, some)


@pytest.mark.parametrize("form", FORMS)
def test_only_a_stochastic_navigator_depends_on_the_seed_and_the_number_of_the_positive(form: str) -> None:
    navigator, z = at_rest(made(form)), latents(range(20))
    first = Optimal(navigator, seed=0)(z, None, range(20))
    others = [Optimal(navigator, seed=1)(z, None, range(20)), Optimal(navigator, seed=0, which=1)(z, None, range(20))]
    assert navigator.stochastic == (form in STOCHASTIC or form == "centred, all")
    for other in others:
        assert torch.equal(other, first) != navigator.stochastic


@pytest.mark.parametrize("form", STOCHASTIC)
@pytest.mark.parametrize("rows", [None, range(3)])
def test_a_stochastic_navigator_needs_the_number_of_every_row(form: str, rows: range | None) -> None:
    with pytest.raises(UsageError, match="4 latents") as caught:
        made(form)(latents(range(4)), rows=rows)
    assert "rows" in caught.value.fix


def test_noise_is_read_as_further_inputs() -> None:
    navigator, z, rows = made("noise"), latents(range(4)), range(10, 14)
    e = philox.normal(7, rows, E, stream="latents/navigator/noise/2").float()
    weights = navigator.state_dict()
    assert weights["layers.0.weight"].shape == (DIM, DIM + E)
    hidden = (torch.cat((z, e), 1) @ weights["layers.0.weight"].T + weights["layers.0.bias"]).relu()
    expected = hidden @ weights["layers.2.weight"].T + weights["layers.2.bias"]
    torch.testing.assert_close(navigator.displace(z, seed=7, rows=rows, which=2), expected)
    torch.testing.assert_close(navigator(z, seed=7, rows=rows, which=2), z + expected)


def test_signs_are_fair_and_leave_the_distance() -> None:
    plain, signed = new_navigator(DIM, prior=Prior(), seed=0), made("sign")
    z, rows = latents(range(4000)), range(4000)
    with torch.no_grad():
        T, moved = plain.displace(z), signed.move(z, seed=3, rows=rows)
        torch.testing.assert_close(signed.displace(z, seed=3, rows=rows), T)
        s = ((moved.z_pos - z) * T).sum(1).sign()
        torch.testing.assert_close(moved.z_pos, z + s[:, None] * T, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(moved.d, plain.move(z).d, rtol=1e-4, atol=1e-6)
    assert abs(float(s.mean())) < 4 / 4000**0.5


def test_without_an_output_bias_it_is_zero_and_not_learned() -> None:
    navigator = made("no output bias")
    assert torch.equal(navigator.last.bias, torch.zeros(DIM))
    assert len(navigator.learned) == 3
    assert torch.equal(made("no output bias", output_bias=True).first.weight, navigator.first.weight)


def test_training_subtracts_the_mean_of_the_batch() -> None:
    navigator, z = made("centred"), latents(range(16))
    T = navigator.displace(z)
    torch.testing.assert_close(T.mean(0), torch.zeros(DIM), rtol=0.0, atol=1e-6)
    plain = new_navigator(DIM, prior=Prior(), seed=0).displace(z)
    torch.testing.assert_close(T, plain - plain.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(navigator.move(z).z_pos, z + T)
    torch.autograd.backward(T.square().sum())
    assert all(parameter.grad is not None for parameter in navigator.learned)
    assert navigator.last.bias.grad is None


def test_sampling_subtracts_the_mean_over_the_prior() -> None:
    """So most of a displacement that was one shift is gone, and the file needs no more than its output bias."""
    navigator = made("centred")
    held = at_rest(navigator)
    assert not torch.equal(held.last.bias, navigator.last.bias)
    assert torch.equal(navigator.last.bias, torch.zeros(DIM))
    z = latents(range(10_000, 40_000))
    found = anatomy(z, held.displace(z))
    assert found.constant < 1e-3
    assert anatomy(z, new_navigator(DIM, prior=Prior(), seed=0).displace(z)).constant > 0.1
    other = made("noise")
    assert at_rest(other) is other


@pytest.mark.parametrize("form", FORMS)
def test_the_initial_distance_is_that_of_what_is_added(form: str) -> None:
    navigator, rows = made(form, init="target_std", std=0.05), range(20_000)
    moved = navigator.move(latents(rows), seed=0, rows=rows)
    assert float(moved.d.detach().double().square().mean().sqrt()) == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize("form", FORMS)
def test_a_saved_navigator_moves_as_before(tmp_path: Path, form: str) -> None:
    navigator = at_rest(made(form))
    save_navigator(tmp_path / FILE_NAME, navigator, made_by={})
    loaded, header = load_navigator_with_header(tmp_path)
    z, rows = latents(range(5)), range(5)
    assert torch.equal(loaded(z, seed=2, rows=rows), navigator.eval()(z, seed=2, rows=rows).detach())
    assert header.get("noise_dim", 0) == loaded.noise_dim == navigator.noise_dim
    assert header.get("random_sign", False) == loaded.random_sign == navigator.random_sign
    # The headers of the paper's form are those of older versions, which can read such files.
    assert {"noise_dim", "random_sign"}.isdisjoint(header) == (not navigator.stochastic)


@pytest.mark.parametrize(
    "damage",
    [
        {"noise_dim": E + 1},
        {"noise_dim": -1},
        {"noise_dim": "3"},
        {"noise_dim": True},
        {"random_sign": 1},
        {"latent_dim": "six"},
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, damage: dict[str, Any]) -> None:
    file = tmp_path / FILE_NAME
    save_navigator(file, made("noise"), made_by={})
    tensors, header = load_tensors(file, kind="navigator")
    kept = {name: header[name] for name in ("latent_dim", "hidden", "noise_dim")}
    save_tensors(file, tensors, kind="navigator", header={**kept, **damage})
    with pytest.raises(DataError, match=str(file)):
        load_navigator_with_header(file)


def test_the_share_of_noise_is_its_variance() -> None:
    """T = c + A z + B e with known shares."""
    z, e, other = (Prior().draw(range(20_000), dim=DIM, seed=seed).double() for seed in (0, 1, 2))
    found = anatomy(z, 1.0 + 0.5 * z + 2.0 * e, 1.0 + 0.5 * z + 2.0 * other)
    shares = [found.constant, found.linear, found.nonlinear, found.noise]
    assert shares == pytest.approx([1.0 / 5.25, 0.25 / 5.25, 0.0, 4.0 / 5.25], abs=0.02)
    assert sum(shares) == pytest.approx(1.0)
