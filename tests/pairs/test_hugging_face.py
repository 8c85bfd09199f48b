"""Hugging Face's datasets reads a pairs folder by its card; the real library is the oracle."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copgen import pairs
from copgen.pairs.places import Places
from tests.pairs import folders


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The library, which has no network and a cache of its own."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hugging-face")))
        warnings.simplefilter("ignore")
        yield pytest.importorskip("datasets")


@pytest.mark.parametrize(
    "plan",
    [
        folders.plan(),
        folders.plan(positives=2, image_shape=(3, 6, 5)),
        folders.plan(image_format="jpg", quality=90),
        folders.imported_plan(),
    ],
    ids=["one positive", "several", "jpg", "imported"],
)
def test_a_pairs_folder_is_a_data_set(tmp_path: Path, datasets: Any, plan: pairs.Contents) -> None:
    folder = tmp_path / "pairs"
    folders.write(folder, plan)
    Places().write(folder / "places.json")
    found = datasets.load_dataset(f"{folder}/", cache_dir=str(tmp_path / "cache"))
    assert list(found) == ["train"]
    assert {*plan.components, "__key__"} <= set(found["train"].column_names)
    assert len(found["train"]) == plan.pairs
    for row, pair in zip(found["train"], pairs.read(folder), strict=True):
        assert int(row["__key__"]) == pair.index
        for name, image in zip(plan.components, (pair.anchor, *pair.positives), strict=False):
            expected = image.permute(1, 2, 0).squeeze(-1).numpy()
            assert np.array_equal(np.asarray(row[name]), expected)
        assert row["json"]["distance"] == pair.metadata["distance"]
