"""The portrait of the embedded generator is that of its weights, and one of other weights is not used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from copgen import generators
from copgen.generators import portrait
from copgen.generators.catalogue import packaged
from copgen.generators.portrait import Portrait, file_of
from copgen.pairs import to_uint8
from copgen.runtime.errors import DataError
from copgen.storage.tensors import load_tensors, save_tensors

FILE = file_of("digits")


def test_it_is_the_generator_and_its_images() -> None:
    G, found = generators.load("digits"), Portrait.load("digits")
    assert found is not None
    assert found.of == G.description
    images = found.images()
    with torch.no_grad():
        drawn = to_uint8(G(G.sample_prior(range(len(images)), seed=0))).numpy()
    # Other machines round differently in the last bits, which may move a pixel over a border.
    assert np.abs(images.astype(int) - drawn).max() <= 1


@pytest.mark.parametrize("name", ["bigbigan", "a-plug-in"])
def test_others_have_none(name: str) -> None:
    assert Portrait.load(name) is None


def test_one_of_other_weights_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "weights.safetensors"
    other.write_bytes(packaged("digits.safetensors").read_bytes() + b"\0")
    monkeypatch.setattr(portrait, "packaged", lambda file: FILE if "portrait" in file else other)
    assert Portrait.load("digits") is None


def test_a_header_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, header = load_tensors(FILE, kind="portrait")
    path = tmp_path / "digits-portrait.safetensors"
    save_tensors(path, tensors, kind="portrait", header={**header, "seconds": -1})
    monkeypatch.setattr(portrait, "packaged", lambda file: path)
    with pytest.raises(DataError, match="is no portrait"):
        Portrait.load("digits")
