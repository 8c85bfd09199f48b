"""Latent blocks: which coordinates they are, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from copgen.latents import Prior, displacement
from copgen.latents.blocks import are_spans, spans_of
from copgen.latents.navigator import Form, load_navigator_with_header, new_navigator, save_navigator
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.tensors import load_tensors, save_tensors

SIX = (20,) * 6


@pytest.mark.parametrize(
    ("chosen", "spans"),
    [
        (None, None),
        ((0, 1, 2, 3, 4, 5), None),
        ((0,), ((0, 20),)),
        ((5, 1, 2), ((20, 60), (100, 120))),
        ((1, 2, 3, 4, 5), ((20, 120),)),
    ],
)
def test_blocks_are_spans_of_coordinates(chosen: tuple[int, ...] | None, spans: object) -> None:
    assert spans_of(chosen, SIX, name="bigbigan") == spans


@pytest.mark.parametrize(
    ("chosen", "sizes", "match"),
    [
        ((6,), SIX, "block 6 in 'G'.* 0 to 5"),
        ((-1,), SIX, "block -1 in 'G'"),
        ((1,), (64,), "block 1 in 'G'.* one latent block, 0"),
        ((2, 2), SIX, "block 2 .*twice"),
        ((), SIX, "No latent block"),
    ],
)
def test_invalid_blocks_are_refused(chosen: tuple[int, ...], sizes: tuple[int, ...], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        spans_of(chosen, sizes, name="G")


@pytest.mark.parametrize(
    "spans", [[], [[0]], [[0, 0]], [[5, 2]], [[0, 2], [1, 3]], [[0, 9]], [[0, True]], [[0, 1.5]], "ab", None, [[-1, 2]]]
)
def test_spans_of_a_damaged_file_are_refused(spans: object) -> None:
    assert not are_spans(spans, 8)
    assert are_spans([[0, 2], [2, 8]], 8)


@pytest.mark.parametrize("form", ["nonlinear", "linear"])
def test_a_navigator_of_blocks_reads_and_moves_only_these(tmp_path: Path, form: Form) -> None:
    navigator = new_navigator(8, form=form, spans=[(2, 4), (6, 8)], prior=Prior(), seed=0)
    z = Prior().draw(range(50), dim=8, seed=0)
    T = navigator.displace(z)
    assert torch.equal(T[:, [0, 1, 4, 5]], torch.zeros(50, 4))
    assert bool((T[:, [2, 3, 6, 7]] != 0).all())
    unseen = z.clone()
    unseen[:, [0, 1, 4, 5]] += 3.0
    assert torch.equal(navigator.displace(unseen), T)
    moved = navigator.move(z, delta=0.1)
    torch.testing.assert_close(moved.z_pos, z + T)
    torch.testing.assert_close(moved.d, displacement(z, z + T))
    assert moved.numbers()["violations"] == float((moved.d > 0.1).sum())
    (gradient,) = torch.autograd.grad(moved.d.sum(), list(navigator.layers[:1].parameters())[:1])
    assert float(gradient.abs().max()) > 0

    save_navigator(tmp_path / "n.safetensors", navigator, made_by={})
    loaded, _ = load_navigator_with_header(tmp_path / "n.safetensors")
    assert (loaded.form, loaded.spans, loaded.hidden) == (form, ((2, 4), (6, 8)), 4)
    assert torch.equal(loaded(z), navigator(z))


def test_a_linear_navigator_is_linear_but_for_its_shift() -> None:
    navigator = new_navigator(6, hidden=3, form="linear", prior=Prior(), seed=0)
    a, b = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    zero = navigator.displace(torch.zeros(4, 6))
    torch.testing.assert_close(navigator.displace(a + b) + zero, navigator.displace(a) + navigator.displace(b))
    differences = (navigator.displace(torch.eye(6)) - navigator.displace(torch.zeros(6, 6))).detach()
    assert int(torch.linalg.matrix_rank(differences)) == 3  # that of the hidden layer
    target = new_navigator(6, form="linear", init="target_std", std=0.05, prior=Prior(), seed=0)
    z = Prior().draw(range(4000), dim=6, seed=9)
    assert float(target.displace(z).detach().square().mean().sqrt()) == pytest.approx(0.05, rel=0.05)


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    save_navigator(path, new_navigator(8, spans=[(2, 4)], prior=Prior(), seed=0), made_by={})
    tensors, header = load_tensors(path, kind="navigator")
    for name, value in (("spans", [[2, 9]]), ("spans", [[0, 4]]), ("form", "cubic"), ("form", None)):
        kept = {key: header[key] for key in ("latent_dim", "hidden", "spans", "made_by")}
        save_tensors(path, tensors, kind="navigator", header={**kept, name: value})
        with pytest.raises(DataError, match=r"n\.safetensors"):
            load_navigator_with_header(path)
