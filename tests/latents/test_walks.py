"""Walks: z' by the definition of each form, from copgen's files and from GenRep's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from copgen.latents import Prior, Steering, load_walk
from copgen.latents.foreign_walk import is_walk, walk_of
from copgen.latents.walks import Walk, save_walk
from copgen.runtime.errors import DataError
from copgen.storage.foreign import read_foreign
from copgen.storage.tensors import load_tensors, save_tensors
from copgen.views import draw, policy
from copgen.views.edit_ranges import EditRanges
from copgen.views.edits import draw_edits, sliders
from tests.shared_data import shared
from tests.storage.foreign.files import FORMATS, save

D = 6
ROWS = range(20)


def mlp(extra: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D + extra, D + extra), nn.ReLU(inplace=True), nn.Linear(D + extra, D))


def content(form: str) -> dict[str, Any]:
    """The content of a file saved by GenRep's programs."""
    torch.manual_seed(1)
    if form == "edits":
        names = ("rot3d", "rot2d", "zoom", "shiftx", "shifty")
        parts = {f"walk_{name}": torch.randn(1, D, requires_grad=True) for name in names}
        return {**parts, "walk_color": torch.randn(1, D, 3, requires_grad=True)}
    if form == "crop-colour":
        return {"walk_jit": torch.randn(1, D, 4), "walk_rrc": mlp(4)}
    return {"walk_jit": torch.randn(1, D), "walk_rrc": mlp(8)}


def boxes(drawn: Any) -> Tensor:
    return torch.stack((drawn.crop.top, drawn.crop.left, drawn.crop.height, drawn.crop.width), 1).float()


def expected(form: str, given: dict[str, Any], z: Tensor, *, seed: int) -> Any:
    """z' as GenRep's programs compute it, for copgen's draws."""
    drawn = draw(policy("simclr"), seed=seed, rows=ROWS, stream="latents/steering", size=(256, 256))
    if form == "edits":
        own = draw_edits(EditRanges(), channels=3, seed=seed, rows=ROWS, stream="latents/steering")
        s = sliders(own, EditRanges()).float()
        z_pos = z + 5 * s[:, :1] * given["walk_rot3d"]
        for place, name in enumerate(("rot2d", "zoom", "shiftx", "shifty"), start=1):
            z_pos = z_pos + s[:, place : place + 1] * given[f"walk_{name}"]
        for c in range(3):
            z_pos = z_pos + s[:, 5 + c : 6 + c] * given["walk_color"][:, :, c]
        return z_pos
    if form == "crop-colour":
        z_pos = z + given["walk_rrc"](torch.cat((z, boxes(drawn)), 1))
        for c in range(3):
            z_pos = z_pos + torch.log(drawn.colour.brightness).float()[:, None] * given["walk_jit"][:, :, c]
        return z_pos + drawn.colour.hue.float()[:, None] * given["walk_jit"][:, :, 3]
    from copgen.runtime import philox

    last = (philox.uniform(seed, ROWS, 1, stream="latents/steering/last")[:, 0] * 4).long()
    replaced: Tensor = given["walk_rrc"](torch.cat((z, boxes(drawn), torch.eye(4)[last]), 1))
    return replaced


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("form", ["edits", "crop-colour", "crop-order"])
def test_genreps_walks_give_genreps_latents(tmp_path: Path, form: str, layout: str) -> None:
    given = content(form)
    read = read_foreign(save(given, tmp_path / "w.pth", layout))
    assert is_walk(read)
    walk = walk_of(read, tmp_path / "w.pth")
    assert walk.form == form
    save_walk(tmp_path / "walk.safetensors", walk, made_by={"generator": "biggan-deep-256"})
    loaded, header = load_walk(tmp_path)
    assert header["made_by"] == {"generator": "biggan-deep-256"}
    z = Prior().draw(ROWS, dim=D, seed=0)
    found = Steering(loaded, seed=3)(z, None, ROWS)
    with torch.no_grad():
        torch.testing.assert_close(found, expected(form, given, z, seed=3), rtol=1e-4, atol=1e-3)


def test_the_gain_only_applies_to_the_3d_rotation() -> None:
    walk = Walk("edits", D)
    walk.directions.data[0] = 1.0
    z = torch.zeros(20, D)
    five, one = (Steering(walk, seed=0, gain=gain)(z, None, ROWS) for gain in (5.0, 1.0))
    torch.testing.assert_close(five, 5 * one)
    walk.directions.data[0], walk.directions.data[1] = 0.0, 1.0
    assert torch.equal(*(Steering(walk, seed=0, gain=gain)(z, None, ROWS) for gain in (5.0, 1.0)))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no network": ({"walk_jit": torch.ones(1, D, 4)}, "'walk_rrc'"),
    "no activation": (
        {"walk_jit": torch.ones(1, D, 4), "walk_rrc": nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 6))},
        "'walk_rrc'.* ReLU",
    ),
    "another input": ({"walk_jit": torch.ones(1, D, 4), "walk_rrc": mlp(5)}, "'walk_rrc'.* 11 inputs for 6 "),
    "another jitter": ({"walk_jit": torch.ones(1, D, 3), "walk_rrc": mlp(4)}, r"'walk_jit'.*\(1, 6, 3\)"),
    "not finite": ({"walk_jit": torch.full((1, D, 4), torch.nan), "walk_rrc": mlp(4)}, "'directions'"),
    "no colour": ({"walk_rot3d": torch.ones(1, D)}, "'walk_color'"),
    "one missing": ({**content("edits"), "walk_zoom": None}, "'walk_zoom'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_walks_are_refused_with_their_part(tmp_path: Path, name: str) -> None:
    given, match = BROKEN[name]
    path = save(given, tmp_path / "w.pth", "zip")
    with pytest.raises(DataError, match=match):
        walk_of(read_foreign(path), path)


@pytest.mark.parametrize(
    "change", [{"form": "spiral"}, {"channels": 2}, {"latent_dim": 7}, {"ranges": {"zoom": -1.0}}, {"channels": 1}]
)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    save_walk(tmp_path / "walk.safetensors", Walk("edits", D), made_by={})
    tensors, header = load_tensors(tmp_path / "walk.safetensors", kind="walk")
    kept = {name: header[name] for name in ("form", "latent_dim", "channels", "ranges", "made_by")}
    save_tensors(tmp_path / "walk.safetensors", tensors, kind="walk", header={**kept, **change})
    with pytest.raises(DataError, match=r"walk\.safetensors"):
        load_walk(tmp_path)


def test_other_content_is_not_mistaken_for_a_walk() -> None:
    assert not is_walk({"nn_walker": 1})
    assert not is_walk([1])


def test_the_published_walk_was_trained_with_one_factor_on_three_vectors() -> None:
    """They differ only by their initialisation, normal with std 0.1, as the docstring of `walks` says."""
    path = shared("data/genrep/w_simclr_aug_lr0.001_N320000_1optim_final.pth")
    w = walk_of(read_foreign(path), path).directions
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert float((w[one] - w[other]).std()) == pytest.approx(0.1 * 2**0.5, rel=0.2)
    assert float(w[0].std()) > 0.3
