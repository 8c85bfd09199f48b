"""The loader of files: the views that T_x makes of each image, whatever the workers; unreadable images."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image
from torch import Tensor

from copgen import views
from copgen.data.loaders.decoding import DecodingLoader
from copgen.data.loaders.loader import LoaderConfig, stream
from copgen.data.sampler import EpochSampler
from copgen.data.skipped import Skipped
from copgen.distributed.ranks import Ranks
from copgen.pairs.pixels import from_uint8
from copgen.runtime.errors import DataError

N, SIDE, CPU = 23, 56, torch.device("cpu")
POLICY = views.policy("simclr")
ROUNDING = 5e-5  # 1e-5 in [0, 1], divided by the std: the native pass rounds elsewhere


class Files:
    """Images as `EncodedImages`, with the numbers of those that are damaged."""

    channels = 3
    classes: tuple[str, ...] = ("even", "odd")
    inputs: dict[str, str]

    def __init__(self, *, damaged: tuple[int, ...] = (), side: int = SIDE, differ: bool = False) -> None:
        draw = torch.Generator().manual_seed(0)
        sides = [side + (3 * item if differ else 0) for item in range(N)]
        self.images = [torch.randint(0, 256, (3, one, side), dtype=torch.uint8, generator=draw) for one in sides]
        self.size = None if differ else (side, side)
        self.labels: Tensor | None = torch.arange(N) % 2
        self.damaged = damaged
        self.inputs = {}
        self.read: list[int] = []

    def __len__(self) -> int:
        return N

    def columns(self, samples: range, views: int) -> Tensor:
        return torch.zeros(len(samples), views, dtype=torch.int64)

    def encoded(self, item: int, column: int) -> bytes:
        self.read.append(item)
        if item in self.damaged:
            return b"no image"
        file = io.BytesIO()
        Image.fromarray(self.images[item].permute(1, 2, 0).numpy()).save(file, "png")
        return file.getvalue()

    def where(self, item: int, column: int) -> str:
        return f"images/{item}.png"


def loader(source: Files, *, policy: views.Policy = POLICY, workers: int = 2, skip: int = 0) -> DecodingLoader:
    skipped = Skipped(skip)
    return DecodingLoader(
        LoaderConfig(source=source, policy=policy, seed=3, count=2, device=CPU, workers=workers, skipped=skipped)
    )


@pytest.mark.parametrize("workers", [1, 3])
def test_views_are_those_of_the_policy_in_the_order_of_the_epoch(workers: int) -> None:
    source, samples = Files(), range(11, 30)
    batch = loader(source, workers=workers)[samples]
    items = EpochSampler(N, 3)[samples]
    x = from_uint8(torch.stack([source.images[item] for item in items.tolist()]))
    for view, found in enumerate(batch.views):
        expected = views.augment(x, POLICY, seed=3, rows=samples, stream=stream(view))
        torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)
    assert batch.labels is not None
    assert torch.equal(batch.labels, items % 2)
    assert not torch.equal(*batch.views)


def test_an_image_is_read_once_for_all_its_views() -> None:
    source = Files()
    loader(source)[range(N)]
    assert sorted(source.read) == list(range(N))


def test_images_of_different_sizes_become_views_of_one_size() -> None:
    policy = POLICY.model_copy(update={"size": 24})
    source = Files(differ=True)
    batch = loader(source, policy=policy)[range(10)]
    assert [tuple(view.shape) for view in batch.views] == [(10, 3, 24, 24)] * 2
    for place, item in enumerate(EpochSampler(N, 3)[range(10)].tolist()):
        x = from_uint8(source.images[item])[None]
        expected = views.augment(x, policy, seed=3, rows=[place], stream="views/anchor")[0]
        torch.testing.assert_close(batch.views[0][place], expected, rtol=0, atol=ROUNDING)


def test_an_unreadable_image_is_named() -> None:
    with pytest.raises(DataError, match=r"images/7\.png"):
        loader(Files(damaged=(7,)))[range(N)]


def test_unreadable_images_may_be_skipped_and_are_listed() -> None:
    source, clean = Files(damaged=(7, 8)), Files()
    skipping = loader(source, skip=2)
    batch = skipping[range(N)]
    expected = loader(clean)[range(N)]
    order = EpochSampler(N, 3)[range(N)].tolist()
    for place, item in enumerate(order):
        if item not in (7, 8):
            assert torch.equal(batch.views[0][place], expected.views[0][place])
    at, instead = order.index(8), clean.images[9]
    view = views.augment(from_uint8(instead)[None], POLICY, seed=3, rows=[at], stream="views/anchor")[0]
    torch.testing.assert_close(batch.views[0][at], view, rtol=0, atol=ROUNDING)
    assert batch.labels is not None
    assert batch.labels[at] == 9 % 2
    assert sorted(skipping.config.skipped.reasons) == [7, 8]
    assert len(skipping.config.skipped.news(Ranks())) == 2
    assert skipping.config.skipped.news(Ranks()) == []


def test_more_unreadable_images_than_allowed_are_an_error() -> None:
    with pytest.raises(DataError, match="2 images are unreadable"):
        loader(Files(damaged=(7, 8)), skip=1)[range(N)]


def test_the_threads_of_the_caller_stay() -> None:
    before = torch.get_num_threads()
    source = loader(Files(), workers=3)
    assert torch.get_num_threads() == before
    source.close()


def test_rand_augment_runs_in_the_threads_wherever_its_views_are_needed() -> None:
    device = torch.device("meta")
    found = DecodingLoader(LoaderConfig(source=Files(), policy=views.policy("infomin"), seed=1, count=2, device=device))
    batch = found[range(4)]
    found.close()
    assert {(view.device.type, tuple(view.shape)) for view in batch.views} == {("meta", (4, 3, SIDE, SIDE))}
