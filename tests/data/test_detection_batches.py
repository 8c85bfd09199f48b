"""Batches of photos with boxes: sizes, orientation, flips, shares of ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from copgen import views
from copgen.data.detection_batches import DetectionLoader, grouped, moved, resized, shape_for
from copgen.data.voc import VocImages, open_voc
from tests.data import shapes

POLICY = views.policy("none")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> VocImages:
    folder = shapes.year(tmp_path_factory.mktemp("voc") / "VOC2007", trainval=20, test=0)
    return open_voc((folder,), "train", classes=shapes.CLASSES)


@pytest.fixture
def loader(voc: VocImages) -> Iterator[Any]:
    made: list[DetectionLoader] = []

    def make(**changes: Any) -> DetectionLoader:
        how = {"seed": 3, "batch": 4, "updates": 6, "sides": (48, 60), "longest": 76, "divisor": 1, "channels": 3}
        made.append(
            DetectionLoader(voc, POLICY, **{**how, "rank": 0, "world": 1, "device": CPU, "workers": 1, **changes})
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("size", "longest", "shape"),
    [
        ((375, 500), 1333, (800, 1067)),  # detectron2's rule: 500 x 800 / 375 = 1066.7
        ((375, 500), 1024, (768, 1024)),
        ((500, 334), 1333, (1198, 800)),
        ((500, 500), 1024, (800, 800)),
        ((10, 500), 1024, (20, 1024)),
    ],
)
def test_sizes_are_those_of_detectron2(size: tuple[int, int], longest: int, shape: tuple[int, int]) -> None:
    assert shape_for(size, side=800, longest=longest) == shape


def test_images_are_resized_as_pillow_does() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    for height, width in ((80, 107), (20, 30)):
        theirs = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
        ours = resized(pixels, (height, width)).permute(1, 2, 0).numpy()
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_a_batch_has_one_orientation_and_an_epoch_all_images() -> None:
    wide = torch.arange(30) % 3 > 0
    items = grouped(wide, seed=0, batch=4, updates=60)
    assert items.shape == (60, 4)
    assert all(len(set(wide[batch].tolist())) == 1 for batch in items)
    counts = torch.bincount(items.flatten(), minlength=30)
    assert counts.min() >= 6
    assert counts.max() <= 10  # 240 samples are 8 epochs


def test_batches_do_not_depend_on_the_length_of_the_run() -> None:
    wide = torch.arange(30) % 3 > 0
    assert torch.equal(grouped(wide, seed=0, batch=4, updates=60)[:7], grouped(wide, seed=0, batch=4, updates=7))
    assert not torch.equal(grouped(wide, seed=1, batch=4, updates=7), grouped(wide, seed=0, batch=4, updates=7))


def test_boxes_follow_their_image() -> None:
    box, size = np.array([[10.0, 20.0, 30.0, 40.0]], dtype=np.float32), np.array([50, 100])
    assert moved(box, size, (100, 300), flip=False).tolist() == [[30, 40, 90, 80]]
    assert moved(box, size, (100, 300), flip=True).tolist() == [[210, 40, 270, 80]]


def test_shapes_are_where_the_boxes_say(loader: Any) -> None:
    batches = loader()
    for update in range(6):
        batch = batches[update]
        for image, size, target in zip(batch.images, batch.sizes, batch.targets, strict=True):
            assert (image[:, size[0] :] == 0).all()
            assert (image[:, :, size[1] :] == 0).all()
            for x1, y1, x2, y2 in target["boxes"].tolist():
                inside = image[:, round(y1) + 3 : round(y2) - 3, round(x1) + 5 : round(x2) - 5]
                assert inside.amax(dim=0).median() > 0.6


def test_all_sizes_and_both_directions_occur(loader: Any) -> None:
    batches = loader(updates=12)
    found = {min(size) for update in range(12) for size in batches[update].sizes}
    assert {48, 57} <= found  # 60 would make the longer side 80: it is 76, and the shorter one 57
    flips = [flip for update in range(12) for flip in batches._drawn(update)[1]]
    assert 0.2 < sum(flips) / len(flips) < 0.8


def test_ranks_share_a_batch_and_its_padding(loader: Any) -> None:
    whole, parts = loader()[2], [loader(rank=rank, world=2)[2] for rank in range(2)]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert [size for part in parts for size in part.sizes] == whole.sizes
    assert [*parts[0].samples, *parts[1].samples] == [*whole.samples] == [8, 9, 10, 11]
    for one, other in zip([t for part in parts for t in part.targets], whole.targets, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in ("boxes", "labels"))


def test_a_batch_is_the_same_out_of_turn(loader: Any) -> None:
    one, other = loader(), loader()
    first = [one[update].images for update in range(5)]
    assert torch.equal(other[3].images, first[3])
    assert torch.equal(other[4].images, first[4])
    assert torch.equal(other[1].images, first[1])


def test_sides_are_multiples_of_the_divisor(loader: Any) -> None:
    assert all(side % 32 == 0 for side in loader(divisor=32)[0].images.shape[2:])


def test_grey(loader: Any) -> None:
    assert loader(channels=1)[0].images.shape[1] == 1
