"""Feature chunks: one pass over the images for all spaces, resumed where it stopped, and few images in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from copgen.evaluation.generation import feature_chunks
from copgen.evaluation.generation.feature_chunks import Store
from copgen.evaluation.spaces.pixels import Pixels
from copgen.runtime.errors import DataError
from copgen.runtime.events import Silent

PIXELS = Pixels(torch.device("cpu"))


class Images:
    """Image k has the value k / 100; counts how many were made."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.made: list[int] = []
        self.stop_at = stop_at

    def __call__(self, rows: range) -> Iterator[Tensor]:
        for start in range(rows.start, rows.stop, 3):
            some = list(range(start, min(start + 3, rows.stop)))
            if self.stop_at is not None and some[-1] >= self.stop_at:
                raise KeyboardInterrupt
            self.made += some
            yield torch.tensor(some).float()[:, None, None, None].expand(-1, 1, 2, 2) / 100.0


class Shifted(Pixels):
    """Another space."""

    def __call__(self, images: Tensor) -> Tensor:
        return super().__call__(images) + 1.0


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_chunks, "CHUNK", 8)


@pytest.mark.parametrize("kept", [True, False])
def test_features_are_in_the_order_of_the_images(kept: bool, tmp_path: Path) -> None:
    images = Images()
    spaces = {"a" * 64: PIXELS, "b" * 64: Shifted(torch.device("cpu"))}
    one, other = Store(tmp_path if kept else None, Silent()).features("test", images, 21, spaces)
    assert images.made == list(range(21))
    assert torch.equal(one.tensor(0, 21)[:, 0], torch.arange(21) / 100.0)
    torch.testing.assert_close(other.tensor(5, 18), one.tensor(5, 18) + 1.0)
    assert [len(part) for part in one.rows(5, 18)] == [3, 8, 2]
    assert len(list(tmp_path.iterdir())) == (6 if kept else 0)


def test_a_stopped_extraction_resumes(tmp_path: Path) -> None:
    store, spaces = Store(tmp_path, Silent()), {"a" * 64: PIXELS}
    with pytest.raises(KeyboardInterrupt):
        store.features("test", Images(stop_at=18), 21, spaces)
    again = Images()
    (found,) = store.features("test", again, 21, spaces)
    assert again.made == list(range(16, 21))
    assert torch.equal(found.tensor(0, 21)[:, 0], torch.arange(21) / 100.0)


def test_more_images_reuse_the_chunks_of_fewer(tmp_path: Path) -> None:
    store, spaces = Store(tmp_path, Silent()), {"a" * 64: PIXELS}
    store.features("test", Images(), 12, spaces)
    images = Images()
    store.features("test", images, 24, spaces)
    assert images.made == list(range(8, 24))


def test_another_key_and_a_damaged_file_are_made_again(tmp_path: Path) -> None:
    store, images = Store(tmp_path, Silent()), Images()
    store.features("test", images, 8, {"a" * 64: PIXELS})
    store.features("test", images, 8, {"a" * 20 + "c" * 44: PIXELS})  # the same name of a file
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    store.features("test", images, 8, {"a" * 20 + "c" * 44: PIXELS})
    assert images.made == [*range(8)] * 3


def test_features_that_are_not_finite(tmp_path: Path) -> None:
    def broken(rows: range) -> Iterator[Tensor]:
        yield torch.full((len(rows), 1, 2, 2), torch.nan)

    with pytest.raises(DataError, match="pixels"):
        Store(tmp_path, Silent()).features("test", broken, 4, {"a" * 64: PIXELS})
    assert not list(tmp_path.iterdir())


def test_a_chunk_that_disappears(tmp_path: Path) -> None:
    (found,) = Store(tmp_path, Silent()).features("test", Images(), 8, {"a" * 64: PIXELS})
    (file,) = tmp_path.iterdir()
    file.unlink()
    with pytest.raises(DataError, match=file.name):
        found.tensor(0, 8)
