"""`copgen navigator show`, and walks in `import` and `inspect`: the sheet has what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from copgen import generators
from copgen.latents.navigator import new_navigator, save_navigator
from copgen.latents.prior import Prior
from copgen.latents.walks import Walk, save_walk
from copgen.report import sheet
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.navigator import show as stage
from copgen.stages.navigator.import_file import import_navigator
from copgen.stages.navigator.inspect import inspect
from copgen.stages.navigator.show import show
from tests.generators import narrow
from tests.shared_data import shared


@pytest.fixture
def navigator(flow: Path, tmp_path: Path) -> Path:
    G = generators.load("digits", weights=flow)
    made_by = {"generator": "digits", "weights_sha256": G.weights_sha256, "settings": {"weights": str(flow)}}
    save_navigator(
        tmp_path / "run" / "navigator.safetensors", new_navigator(64, prior=Prior(), seed=0), made_by=made_by
    )
    return tmp_path / "run"


@pytest.fixture
def walk(flow: Path, tmp_path: Path) -> Path:
    made = Walk("edits", 64, channels=1)
    made.directions.data.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    made_by = {"generator": "digits", "settings": {"weights": str(flow)}}
    save_walk(tmp_path / "steering" / "walk.safetensors", made, made_by=made_by)
    return tmp_path / "steering"


def test_rows_are_the_same_movement_at_four_lengths(
    flow: Path, navigator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, torch.Tensor]] = []

    def spy(heading: str, rows: list[tuple[str, torch.Tensor]]) -> Image.Image:
        drawn.extend(rows)
        return sheet.labelled_sheet(heading, rows)

    monkeypatch.setattr(stage, "labelled_sheet", spy)
    found = show(navigator, out=tmp_path / "sheet.png", images=3, seed=2, device="cpu")
    assert [label for label, _ in drawn] == ["anchor", "0.5 x", "1 x", "1.5 x", "2 x"]
    G = generators.load("digits", weights=flow)
    z = G.sample_prior(range(3), 2)
    with torch.no_grad():
        T = new_navigator(64, prior=Prior(), seed=0).displace(z)
        for (_, images), length in zip(drawn, (0.0, 0.5, 1.0, 1.5, 2.0), strict=True):
            torch.testing.assert_close(images, G(z + length * T), atol=1e-4, rtol=0)
    assert found["d_mean"]["2"] == pytest.approx(4 * found["d_mean"]["0.5"], rel=1e-4)
    assert (found["kind"], found["navigator"]) == ("navigator", str(navigator / "navigator.safetensors"))
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.height > 5 * 64


def test_a_walk_has_a_row_for_each_edit_and_its_figures(walk: Path, flow: Path, tmp_path: Path) -> None:
    show(walk / "walk.safetensors", out=tmp_path / "sheet.png", images=2, device="cpu")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.height > (5 + 6) * 64
    (walk / "renamed.safetensors").write_bytes((walk / "walk.safetensors").read_bytes())
    for path in (walk, walk / "renamed.safetensors"):
        found = inspect(path, draws=2000, out=tmp_path / "pairs.png")
        assert (found["kind"], found["form"], found["latent_dim"]) == ("walk", "edits", 64)
        assert found["constant"] + found["linear"] + found["nonlinear"] == pytest.approx(1.0)
        assert 0.1 < found["d_mean"] < 1.0


@pytest.mark.parametrize("name", narrow.NAMES)
def test_every_generators_navigator_and_walk_are_inspected_and_shown(name: str, tmp_path: Path) -> None:
    weights = narrow.published(name, tmp_path)
    G = generators.load(name, weights=weights)
    made_by = {"generator": name, "weights_sha256": G.weights_sha256}
    T_z = new_navigator(G.latent_dim, prior=G.prior, seed=0)
    save_navigator(tmp_path / "navigator.safetensors", T_z, made_by=made_by)
    made = Walk("edits", G.latent_dim, channels=G.channels)
    made.directions.data.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    save_walk(tmp_path / "walk.safetensors", made, made_by=made_by)
    for kind in ("navigator", "walk"):
        file, picture = tmp_path / f"{kind}.safetensors", tmp_path / f"{kind}.png"
        shown = show(file, out=picture, weights=weights, images=1, device="cpu")
        found = inspect(file, weights=weights, draws=2 * (G.latent_dim + 1), device="cpu")
        assert (shown["kind"], found["kind"], shown["generator"], found["generator"]) == (kind, kind, name, name)
        assert found["latent_dim"] == G.latent_dim
        assert found["d_mean"] > 0
        assert shown["d_mean"]["2"] == pytest.approx(4 * shown["d_mean"]["0.5"], rel=1e-3)
        assert picture.stat().st_size > 1000


def test_another_width_or_nothing_is_refused(walk: Path, tmp_path: Path, flow: Path) -> None:
    save_walk(tmp_path / "narrow" / "walk.safetensors", Walk("edits", 8, channels=1), made_by={"generator": "digits"})
    with pytest.raises(UsageError, match="8 latent coordinates; 'digits' has 64"):
        show(tmp_path / "narrow", out=tmp_path / "sheet.png", weights=flow)
    with pytest.raises(DataError, match="is missing: no navigator to load"):
        show(tmp_path / "none", out=tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(("name", "form"), [("N200000_1fc", "crop-order"), ("N320000_1optim", "crop-colour")])
def test_the_published_walks_of_genrep_come_over(name: str, form: str, tmp_path: Path) -> None:
    path = shared(f"data/genrep/w_simclr_aug_lr0.001_{name}_final.pth")
    found = import_navigator(path, out=tmp_path / "out")
    assert (found["kind"], found["form"], found["latent_dim"]) == ("walk", form, 128)
    assert (found["generator"], found["published"]) == ("biggan-deep-256", True)
    with pytest.raises(UsageError, match=r" walk .*--overwrite"):
        import_navigator(path, out=tmp_path / "out")
    figures = inspect(tmp_path / "out", draws=4000)
    # The one without a residual forgets where it started.
    assert figures["cosine_mean"] == pytest.approx(0.035 if form == "crop-order" else 0.765, abs=0.02)
