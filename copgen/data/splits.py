"""Splits of labelled images, without random numbers.

A dataset that has no validation split of its own gives a tenth of its training images: of every ten images of a class,
in the order of the files, the fifth. So a class of fewer than five images is for training alone, and nobody's choice
of settings sees the test split.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Split = Literal["train", "validation", "test"]
AnySplit = Literal["train", "validation", "test", "train+validation"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
VALIDATION_OF, VALIDATION_AT = 10, 4  # the fifth of every ten


def positions(labels: Tensor) -> Tensor:
    """The position of each item (N,) within its class, in the order of the items."""
    order = torch.argsort(labels, stable=True)
    ordered = labels[order]
    starts = torch.searchsorted(ordered, ordered)  # of each item's class
    place = torch.empty_like(order)
    place[order] = torch.arange(len(labels)) - starts
    return place


def rows_of(split: AnySplit, labels: Tensor | None, count: int) -> Tensor:
    """The items (M,), in order, that a split takes of `count` training images with these labels.

    Args:
        split: train, validation, or both; not test.
        labels: (N,) int64; None: all of one class.
        count: N.
    """
    if split == "train+validation":
        return torch.arange(count)
    places = positions(torch.zeros(count, dtype=torch.int64) if labels is None else labels)
    held_out = places % VALIDATION_OF == VALIDATION_AT
    return (held_out if split == "validation" else ~held_out).nonzero()[:, 0]
