"""What sample refuses: another plan, a folder that is not its own, inputs that do not fit, invalid settings."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from copgen import generators, pairs
from copgen.latents import Prior
from copgen.latents.navigator import new_navigator, save_navigator
from copgen.runtime.errors import DataError, EnvironmentFault, ExitCode, UsageError
from copgen.runtime.settings import build
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from tests.stages.small import files, write_flow


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"seed": 1}, "seed is 0, not 1"),
        ({"n": 251}, "pairs is 250, not 251"),
        ({"batch": 50}, "batch is 64, not 50"),
        ({"std": 0.1}, r"transform.settings.std is 0\.3, not 0\.1"),
        ({"transform": "none"}, "transform.name is 'gaussian', not 'none'"),
    ],
)
def test_a_changed_plan_is_refused_with_the_field(
    tmp_path: Path, settings: Callable[..., SampleSettings], changes: dict[str, Any], field: str
) -> None:
    sample(settings(transform="gaussian"), out=tmp_path)
    before = files(tmp_path)
    with pytest.raises(UsageError, match=field) as caught:
        sample(settings(**{"transform": "gaussian", **changes}), out=tmp_path)
    assert caught.value.code == ExitCode.USAGE
    assert files(tmp_path) == before


def test_a_folder_of_another_encoder_is_refused(tmp_path: Path, settings: Callable[..., SampleSettings]) -> None:
    """As one that was begun when tiny images were Pillow's too."""
    made = settings(n=5)
    sample(made, out=tmp_path)
    plan = pairs.Plan.load(tmp_path)
    versions = {name: version for name, version in plan.versions.items() if name != "png"}
    (tmp_path / "plan.json").write_text(plan.model_copy(update={"versions": versions}).text())
    with pytest.raises(UsageError, match=r"versions\.png is None, not 'stored, 1'\."):
        sample(made, out=tmp_path)


def test_another_navigator_under_the_same_path_is_another_plan(
    flow: Path, navigator: Path, tmp_path: Path, settings: Callable[..., SampleSettings]
) -> None:
    place = tmp_path / "navigate"
    shutil.copytree(navigator, place)
    sample(settings(navigator=place, n=5), out=tmp_path / "pairs")
    save_navigator(place / "navigator.safetensors", new_navigator(64, prior=Prior(), seed=1), made_by={})
    with pytest.raises(UsageError, match=r"transform\.sha256"):
        sample(settings(navigator=place, n=5), out=tmp_path / "pairs")


def test_overwrite_replaces_another_plan(tmp_path: Path, settings: Callable[..., SampleSettings]) -> None:
    sample(settings(transform="gaussian", n=400, seed=9), out=tmp_path / "pairs")
    sample(settings(), out=tmp_path / "pairs", overwrite=True)
    sample(settings(), out=tmp_path / "straight")
    assert files(tmp_path / "pairs") == files(tmp_path / "straight")
    assert pairs.verify(tmp_path / "pairs", "full") == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("below", [False, True])
def test_a_folder_that_is_not_ours_to_write_is_left_alone(
    tmp_path: Path, settings: Callable[..., SampleSettings], overwrite: bool, below: bool
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "photo.png").write_bytes(b"dear")
    out = theirs / "photo.png" / "pairs" if below else theirs
    with pytest.raises(EnvironmentFault, match="theirs") as caught:
        sample(settings(), out=out, overwrite=overwrite)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert files(tmp_path) == {"theirs/photo.png": b"dear"}


def test_a_navigator_of_another_generator_is_refused(
    navigator: Path, tmp_path: Path, settings: Callable[..., SampleSettings]
) -> None:
    other = write_flow(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(
        UsageError, match=r"navigator .* generator 'digits' \(64 latent coordinates\).*copgen navigate"
    ) as caught:
        sample(settings(weights=other), out=tmp_path / "pairs")
    assert caught.value.code == ExitCode.USAGE
    narrow = tmp_path / "narrow.safetensors"
    save_navigator(narrow, new_navigator(32, prior=Prior(), seed=0), made_by={"generator": "bigbigan"})
    with pytest.raises(UsageError, match=r"generator 'bigbigan' \(32 latent"):
        sample(settings(navigator=narrow), out=tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_a_navigator_that_cannot_be_read_is_refused(
    flow: Path, navigator: Path, tmp_path: Path, settings: Callable[..., SampleSettings], damage: str
) -> None:
    place = tmp_path / "navigate"
    place.mkdir()
    file = place / "navigator.safetensors"
    if damage == "cut":
        file.write_bytes((navigator / file.name).read_bytes()[:-1])
    elif damage == "foreign":
        shutil.copy(flow, file)
    with pytest.raises(DataError, match=r"navigator\.safetensors") as caught:
        sample(settings(navigator=place), out=tmp_path / "pairs")
    assert caught.value.code == ExitCode.DATA
    assert not (tmp_path / "pairs").exists()


def test_images_that_are_not_finite_never_become_pairs(
    flow: Path, tmp_path: Path, settings: Callable[..., SampleSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    G = generators.load("digits", weights=flow)
    real = type(G).forward
    monkeypatch.setattr(type(G), "forward", lambda self, z, condition=None: real(self, z) / 0.0)
    with pytest.raises(DataError, match="not finite"):
        sample(settings(), out=tmp_path / "pairs")
    assert sorted(files(tmp_path / "pairs")) == ["places.json", "plan.json"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"transform": "gausian"}, "transform = 'gausian'"),
        ({"n": 0}, "n = 0"),
        ({"n": -5}, "n = -5"),
        ({"n": 1.5}, r"n = 1\.5"),
        ({"std": 0.0}, r"std = 0\.0"),
        ({"std": math.nan}, "std = nan"),
        ({"pairs_per_shrd": 1}, "no setting 'pairs_per_shrd'. Did you mean 'pairs_per_shard'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_their_value(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(SampleSettings, {"generator": "digits", "n": 10, **changes}, origin="sample")
