"""`copgen navigator import` and `inspect`: the authors' file becomes a navigator, and its figures are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from copgen import generators
from copgen.latents import load_navigator
from copgen.latents.navigator import FILE_NAME, load_navigator_with_header, new_navigator, save_navigator
from copgen.latents.prior import Prior
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.navigator.import_file import import_navigator
from copgen.stages.navigator.inspect import inspect
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.transform import build_transform
from copgen.storage.files import sha256_of
from copgen.storage.tensors import load_tensors, save_tensors
from copgen_cli.navigator import inspection
from tests.shared_data import shared
from tests.stages.small import write_flow
from tests.storage.foreign.files import FORMATS, authors_navigator

BIGBIGAN = {"kind": "truncated_normal", "scale": 1.0, "threshold": 2.0}


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    return write_flow(tmp_path / "flow.safetensors")


@pytest.mark.parametrize("layout", FORMATS)
def test_an_imported_navigator_says_where_it_came_from(tmp_path: Path, layout: str) -> None:
    walk = authors_navigator(tmp_path / "w.pth", layout=layout)
    found = import_navigator(tmp_path / "w.pth", out=tmp_path / "out")
    assert found == {
        "kind": "navigator",
        "navigator": str(tmp_path / "out" / FILE_NAME),
        "latent_dim": 120,
        "hidden": 120,
        "form": "nonlinear",
        "generator": "bigbigan",
        "source_sha256": sha256_of(tmp_path / "w.pth"),
        "published": False,
    }
    navigator, header = load_navigator_with_header(tmp_path / "out")
    z = torch.linspace(-2, 2, 240).view(2, 120)
    with torch.no_grad():
        assert torch.equal(navigator.displace(z), walk.walker(z))
    assert header["made_by"] == {
        "stage": "navigator import",
        "generator": "bigbigan",
        "source": {"file": "w.pth", "sha256": sha256_of(tmp_path / "w.pth")},
        "prior": BIGBIGAN,
    }


def test_other_latent_sizes_need_the_generator_s_name(tmp_path: Path) -> None:
    authors_navigator(tmp_path / "w.pth", dim=64, hidden=16)
    with pytest.raises(UsageError, match="64 latent coordinates, not BigBiGAN's 120"):
        import_navigator(tmp_path / "w.pth", out=tmp_path / "out")
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        import_navigator(tmp_path / "w.pth", out=tmp_path / "out", generator="digit")
    assert not (tmp_path / "out").exists()
    import_navigator(tmp_path / "w.pth", out=tmp_path / "out", generator="digits")
    assert load_navigator_with_header(tmp_path / "out")[1]["made_by"]["generator"] == "digits"


def test_a_navigator_that_is_there_is_kept(tmp_path: Path) -> None:
    authors_navigator(tmp_path / "w.pth")
    import_navigator(tmp_path / "w.pth", out=tmp_path / "out")
    before = (tmp_path / "out" / FILE_NAME).read_bytes()
    authors_navigator(tmp_path / "v.pth")
    with pytest.raises(UsageError, match=r"out .* navigator .*--overwrite"):
        import_navigator(tmp_path / "v.pth", out=tmp_path / "out")
    assert (tmp_path / "out" / FILE_NAME).read_bytes() == before
    import_navigator(tmp_path / "v.pth", out=tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / FILE_NAME).read_bytes() != before


@pytest.mark.parametrize("kinds", [("navigator", "walk"), ("walk", "navigator")])
def test_a_walk_and_a_navigator_replace_each_other(tmp_path: Path, kinds: tuple[str, str]) -> None:
    for kind in kinds:
        if kind == "navigator":
            authors_navigator(tmp_path / "navigator.pth")
        else:
            edits = {f"walk_{name}": torch.ones(1, 128) for name in ("rot3d", "rot2d", "zoom", "shiftx", "shifty")}
            torch.save({**edits, "walk_color": torch.ones(1, 128, 3)}, tmp_path / "walk.pth")
    first, second = (tmp_path / f"{kind}.pth" for kind in kinds)
    import_navigator(first, out=tmp_path / "out")
    with pytest.raises(UsageError, match=f"out contains a {kinds[0]} already"):
        import_navigator(second, out=tmp_path / "out")
    found = import_navigator(second, out=tmp_path / "out", overwrite=True)
    assert found["kind"] == inspect(tmp_path / "out", draws=300)["kind"] == kinds[1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{kinds[1]}.safetensors"]


def test_a_file_that_is_no_navigator_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_text("<html>Sign in</html>")
    with pytest.raises(DataError, match="is a web page"):
        import_navigator(tmp_path / "w.pth", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sample_takes_it_for_its_generator_alone(tmp_path: Path, flow: Path) -> None:
    """It has no hash of weights to compare; the name decides."""
    G = generators.load("digits", weights=flow)
    authors_navigator(tmp_path / "w.pth", dim=64)
    for name, out in (("digits", tmp_path / "ours"), ("bigbigan", tmp_path / "other")):
        import_navigator(tmp_path / "w.pth", out=out, generator=name)
    settings = SampleSettings(generator="digits", weights=flow, n=4, navigator=tmp_path / "ours")
    positives = build_transform(settings, G, torch.device("cpu"))
    (transform,), source = positives.transforms, positives.source
    assert source.name == "optimal"
    z = G.sample_prior(range(3), 0)
    assert torch.equal(transform(z, None, range(3)), load_navigator(tmp_path / "ours")(z))
    with pytest.raises(UsageError, match="was trained on generator 'bigbigan'"):
        build_transform(settings.model_copy(update={"navigator": tmp_path / "other"}), G, torch.device("cpu"))


def test_the_recorded_prior_is_what_is_drawn_from(tmp_path: Path) -> None:
    """Without the generator's weights."""
    authors_navigator(tmp_path / "w.pth")
    import_navigator(tmp_path / "w.pth", out=tmp_path / "out")
    found = inspect(tmp_path / "out", draws=2000)
    assert found["prior"] == BIGBIGAN
    assert (found["generator"], found["latent_dim"], found["parameters"]) == ("bigbigan", 120, 29_040)
    assert (found["draws"], found["picture"]) == (2000, None)
    assert found["constant"] + found["linear"] + found["nonlinear"] == pytest.approx(1.0)
    assert list(found["d_quantiles"]) == ["0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"]
    # The framework's initialisation moves by 0.24 times the prior's standard deviation.
    assert found["std"] == pytest.approx(0.236 * 0.880, rel=0.1)


def test_a_trained_navigator_is_drawn_from_its_generator_s_prior(tmp_path: Path, flow: Path) -> None:
    navigator = new_navigator(64, init="target_std", std=0.05, prior=Prior(), seed=0)
    made_by = {"generator": "digits", "settings": {"weights": str(flow)}}
    save_navigator(tmp_path / "run" / FILE_NAME, navigator, made_by=made_by)
    found = inspect(tmp_path / "run", draws=4000, out=tmp_path / "pairs.png", seed=3)
    assert found["prior"] == Prior().model_dump(mode="json")
    assert found["d_mean"] == pytest.approx(0.05, rel=0.05)
    assert found["made_by"] == made_by
    with Image.open(tmp_path / "pairs.png") as picture:
        assert picture.size == (16 * 64 + 15 * 2, 2 * 64 + 2)
    named = inspect(tmp_path / "run", generator="digits", weights=flow, draws=4000, seed=3)
    assert named["d_mean"] == found["d_mean"]
    assert inspect(tmp_path / "run", draws=4000, seed=4)["d_mean"] != found["d_mean"]


def test_what_does_not_fit_is_refused(tmp_path: Path, flow: Path) -> None:
    navigator = new_navigator(8, prior=Prior(), seed=0)
    save_navigator(tmp_path / "a" / FILE_NAME, navigator, made_by={})
    with pytest.raises(UsageError, match="--generator"):
        inspect(tmp_path / "a")
    with pytest.raises(UsageError, match="has 8 latent coordinates; 'digits' has 64"):
        inspect(tmp_path / "a", generator="digits", weights=flow)
    with pytest.raises(DataError, match="is missing: no navigator to load"):
        inspect(tmp_path / "none")
    tensors, header = load_tensors(tmp_path / "a" / FILE_NAME, kind="navigator")
    kept = {**{name: header[name] for name in ("latent_dim", "hidden")}, "made_by": {"prior": {"kind": "cauchy"}}}
    save_tensors(tmp_path / "a" / FILE_NAME, tensors, kind="navigator", header=kept)
    with pytest.raises(DataError, match=r"header .* prior"):
        inspect(tmp_path / "a")


def test_the_authors_file_has_the_published_figures(tmp_path: Path) -> None:
    found = import_navigator(shared("data/cop-gen/w_COPGen_pretained.pth"), out=tmp_path / "out")
    assert found["published"]
    figures = inspect(tmp_path / "out")
    assert figures["draws"] == 20_000
    assert figures["std"] == pytest.approx(0.230, abs=0.002)
    assert figures["mean"] == pytest.approx(0.001, abs=0.003)
    shares = [round(100 * figures[part]) for part in ("constant", "linear", "nonlinear")]
    assert shares == [44, 41, 15]


def test_the_rows_name_noise_and_signs(tmp_path: Path, flow: Path) -> None:
    made_by = {"generator": "digits", "settings": {"weights": str(flow)}}
    forms: dict[str, dict[str, Any]] = {"plain": {}, "random": {"noise_dim": 5, "random_sign": True}}
    told = {}
    for name, form in forms.items():
        save_navigator(tmp_path / name / FILE_NAME, new_navigator(64, prior=Prior(), seed=0, **form), made_by=made_by)
        told[name] = dict(inspection(inspect(tmp_path / name, draws=1000)))
    assert "64 - 64 - 64," in told["plain"]["form"]
    assert "noise" not in told["plain"]["movement"]
    assert "64 + 5 noise - 64 - 64, random sign" in told["random"]["form"]
    assert "noise" in told["random"]["movement"]
