"""The real digits: one fixed split, and pixels on one scale with the generator's."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from copgen.data import digits

SPLITS: tuple[digits.Split, ...] = get_args(digits.Split)


def test_the_splits_are_disjoint_and_complete() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = {split: [tuple(level.flatten().tolist()) for level in digits.load_levels(split)[0]] for split in SPLITS}
    every = [row for split in SPLITS for row in rows[split]]
    # No image is there twice, so equal pixels would mean the same image.
    assert len(every) == len(set(every)) == 1797
    pixels = [tuple(int(value) for value in image.flatten()) for image in bunch.images]
    labels = dict(zip(pixels, bunch.target.tolist(), strict=True))
    assert set(every) == set(pixels)
    for split in SPLITS:
        assert [labels[row] for row in rows[split]] == digits.load_levels(split)[1].tolist()


@pytest.mark.parametrize(("split", "size"), [("train", 1248), ("validation", 181), ("test", 368)])
def test_sizes(split: digits.Split, size: int) -> None:
    images = digits.load(split)
    assert images.images.shape == (size, 1, 8, 8)
    assert images.images.dtype == torch.float32
    assert images.labels.shape == (size,)
    assert images.labels.dtype == torch.int64


@pytest.mark.parametrize(("split", "share"), [("train", 7), ("validation", 1), ("test", 2)])
def test_the_classes_are_balanced(split: digits.Split, share: int) -> None:
    counts = torch.bincount(digits.load(split).labels, minlength=digits.CLASSES)
    every = torch.bincount(torch.cat([digits.load(each).labels for each in SPLITS]), minlength=digits.CLASSES)
    assert len(counts) == digits.CLASSES
    # Of every ten of a class the split gets `share`; the last ten may not be full.
    assert bool((counts >= every // 10 * share).all())
    assert bool((counts <= (every // 10 + 1) * share).all())


@pytest.mark.parametrize("split", SPLITS)
def test_values_are_the_centres_of_the_bins(split: digits.Split) -> None:
    levels, labels = digits.load_levels(split)
    images = digits.load(split)
    assert torch.equal(images.labels, labels)
    assert (int(levels.min()), int(levels.max())) == (0, digits.LEVELS - 1)
    centres = torch.tensor([2 * (k + 0.5) / 17 - 1 for k in range(17)], dtype=torch.float64)
    torch.testing.assert_close(images.images.double(), centres[levels], rtol=0.0, atol=2.0**-23)


def test_what_a_caller_does_to_a_split_does_not_reach_the_next() -> None:
    digits.load_levels("test")[0].zero_()
    digits.load_levels("test")[1].zero_()
    levels, labels = digits.load_levels("test")
    assert int(levels.max()) == 16
    assert int(labels.max()) == 9
