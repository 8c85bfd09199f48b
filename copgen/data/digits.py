"""The 8x8 handwritten digits in scikit-learn (1,797 images, 17 grey levels), with one fixed split.

The split is by position within each class, without random numbers: of every ten images of a class, the first two are
test, the third is validation, the rest is training. The generator, the encoders and the probes all use this split, so
no test image is used in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from copgen.data.splits import AnySplit, Split
from copgen.data.tensor_images import TensorImages

__all__ = ["CLASSES", "LEVELS", "LabelledImages", "Split", "load", "load_levels", "source"]

LEVELS = 17
CLASSES = 10


@dataclass(frozen=True)
class LabelledImages:
    """images (N, C, H, W) float32 in [-1, 1]; labels (N,) int64."""

    images: Tensor
    labels: Tensor


@cache
def _load() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = np.asarray(bunch.target, dtype=np.int64)
    position = np.zeros_like(labels)
    for c in range(CLASSES):
        members = np.flatnonzero(labels == c)
        position[members] = np.arange(len(members))
    return np.asarray(bunch.images, dtype=np.int64), labels, position % 10


def load_levels(split: Split) -> tuple[Tensor, Tensor]:
    """Grey levels (N, 1, 8, 8), int64 in 0..16, and labels (N,), int64."""
    levels, labels, slot = _load()
    chosen = {"test": slot < 2, "validation": slot == 2, "train": slot > 2}[split]
    return torch.from_numpy(levels[chosen][:, None]), torch.from_numpy(labels[chosen])


def load(split: Split) -> LabelledImages:
    """The images of a split in [-1, 1]: level k of 0..16 becomes 2 (k + 1/2) / 17 - 1, the centre of its bin.

    The generator learns pixels dequantised uniformly within these bins, so real and generated images share one scale.
    """
    levels, labels = load_levels(split)
    return LabelledImages(images=2.0 * (levels.float() + 0.5) / LEVELS - 1.0, labels=labels)


def source(split: AnySplit) -> TensorImages:
    """A split as a source of training images; of train+validation, train comes first."""
    whole: tuple[Split, ...] = ("train", "validation") if split == "train+validation" else (split,)
    parts = [load(part) for part in whole]
    images = torch.cat([part.images for part in parts])
    labels = torch.cat([part.labels for part in parts])
    return TensorImages(images, labels, classes=tuple(map(str, range(CLASSES))), inputs={})
