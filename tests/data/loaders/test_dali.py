"""DALI's loader: the batches of the other loaders, as functions of their sample indices; damaged images are named."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from copgen.data.loaders.dali import DaliLoader
from copgen.data.loaders.decoding import DecodingLoader
from copgen.data.loaders.loader import Batch, LoaderConfig
from copgen.data.sampler import EpochSampler
from copgen.data.skipped import Skipped
from copgen.runtime.errors import DataError, UsageError
from copgen.views import Policy, dali, policy
from tests.data.encoded import Files

CPU = torch.device("cpu")
SIMCLR = policy("simclr", size=48)
pytestmark = pytest.mark.skipif(not dali.is_installed(), reason="DALI is not installed")


def loader(source: Files, numbers: Policy = SIMCLR, *, count: int = 2, skipped: Skipped | None = None) -> DaliLoader:
    return DaliLoader(config(source, policy=numbers, count=count, skipped=skipped or Skipped(0)))


def config(source: Files, **more: Any) -> LoaderConfig[Files]:
    known = {"source": source, "policy": SIMCLR, "seed": 3, "count": 2, "device": CPU, "workers": 1}
    return LoaderConfig(**{**known, **more})


@pytest.fixture(params=[0, 3], ids=["real images", "pairs"])
def source(request: pytest.FixtureRequest) -> Files:
    return Files(positives=request.param)


def same(a: Batch, b: Batch) -> bool:
    assert a.labels is not None
    assert b.labels is not None
    return all(map(torch.equal, (*a.views, a.labels), (*b.views, b.labels)))


@pytest.mark.parametrize("count", [2, 3])
def test_it_gives_the_batches_of_the_torch_loader(source: Files, count: int) -> None:
    torchs = DecodingLoader(config(source, count=count))[range(7, 20)]
    dalis = loader(source, count=count)[range(7, 20)]
    assert torchs.labels is not None
    assert dalis.labels is not None
    assert torch.equal(dalis.labels, torchs.labels)
    assert len(dalis.views) == count
    for ours, theirs in zip(dalis.views, torchs.views, strict=True):
        assert ours.shape == (13, 3, 48, 48)
        assert ours.dtype == torch.float32
        assert (ours - theirs).abs().mean() < 0.1 / 255 / 0.22


def test_a_batch_is_a_function_of_its_samples(source: Files) -> None:
    first, second = loader(source), loader(source)
    second[range(40, 44)]
    batch = first[range(8)]
    assert same(second[range(8)], batch)
    part = second[range(3, 5)]
    assert torch.equal(part.views[1], batch.views[1][3:5])
    first.close()


def test_images_of_different_sizes_become_views_of_one() -> None:
    source = Files(shapes=((64, 64), (40, 70), (90, 50)))
    torchs = DecodingLoader(config(source))[range(9)]
    for ours, theirs in zip(loader(source)[range(9)].views, torchs.views, strict=True):
        assert (ours - theirs).abs().mean() < 0.1 / 255 / 0.22


def test_different_sizes_need_a_size_of_the_views() -> None:
    with pytest.raises(UsageError, match=r"different sizes.*'simclr'"):
        loader(Files(shapes=((64, 64), (40, 70))), policy("simclr"))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"text"])
@pytest.mark.parametrize("shapes", [((64, 64),), ((64, 64), (40, 70))])
def test_a_damaged_image_is_named(damage: object, shapes: tuple[tuple[int, int], ...]) -> None:
    assert callable(damage)
    source = Files(shapes=shapes)
    source.files[4][0] = damage(source.files[4][0])
    batches = loader(source)
    for _ in range(2):  # the loader is as good as before
        with pytest.raises(DataError, match="item 4, image 0"):
            batches[range(12)]


def test_damaged_images_may_be_skipped_with_the_label_of_their_substitute() -> None:
    source, whole = Files(), Files()
    source.files[4][0] = source.files[4][0][:200]
    skipped = Skipped(1)
    batches = loader(source, skipped=skipped)
    batch = batches[range(12)]
    assert set(skipped.reasons) == {4}
    assert same(batches[range(12)], batch)
    items = EpochSampler(12, 3)[range(12)]
    expected = torch.where(items == 4, 5, items)
    assert whole.labels is not None
    assert batch.labels is not None
    assert torch.equal(batch.labels, whole.labels[expected])
