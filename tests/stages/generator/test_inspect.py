"""The stage generator inspect: figures that can be checked, and the sheet of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from copgen import generators
from copgen.pairs.pixels import to_uint8
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from copgen.stages.generator.inspect import inspect
from copgen.storage.files import sha256_of


def test_the_figures_are_those_of_the_generator(flow: Path) -> None:
    found = inspect("digits", weights=flow)
    G = generators.load("digits", weights=flow)
    assert found.pop("seconds_per_image") > 0
    assert found == {
        "name": "digits",
        "parameters": sum(tensor.numel() for tensor in G.parameters()),
        "latent_dim": 64,
        "prior": {"kind": "normal", "scale": 1.0, "threshold": 2.0},
        "condition": None,
        "image_shape": [1, 8, 8],
        "weights_sha256": sha256_of(flow),
        "batch": 128,
        "device": "cpu",
        "settings": dict(G.settings),
        "made_by": {"stage": "a test"},
        "picture": None,
    }


@pytest.mark.parametrize("seed", [0, 5])
def test_the_sheet_shows_the_first_samples_of_the_seed(flow: Path, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "sheets" / "digits.png"
    assert inspect("digits", weights=flow, out=path, seed=seed)["picture"] == str(path)
    G = generators.load("digits", weights=flow)
    images = to_uint8(G(G.sample_prior(range(128), seed)))[:, 0].numpy()
    with Image.open(path) as picture:
        assert picture.size == (16 * 64 + 15 * 2, 8 * 64 + 7 * 2)
        pixels = np.asarray(picture)
    for index in (0, 15, 16, 127):
        top, left = 66 * (index // 16), 66 * (index % 16)
        assert np.array_equal(pixels[top : top + 64 : 8, left : left + 64 : 8], images[index])


def test_what_is_not_there_is_refused(flow: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no generator 'digit'\. Did you mean 'digits'"):
        inspect("digit")
    with pytest.raises(DataError, match="is missing"):
        inspect("digits", weights=tmp_path / "nowhere.safetensors")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        inspect("digits", weights=flow, out=tmp_path / "file" / "sheet.png")
