"""Labelled images of a dataset, all in memory."""

from __future__ import annotations

from pathlib import Path

import torch

from copgen.data.batches import batches
from copgen.data.datasets import needs_labels, open_dataset
from copgen.data.digits import LabelledImages
from copgen.data.splits import AnySplit


def load_dataset(
    dataset: str | Path, split: AnySplit, *, root: Path | None = None, size: int | None = None
) -> LabelledImages:
    """All images of a split, decoded: for datasets that fit into memory; `batches` is for the others.

    Args:
        dataset: a name or a folder, as in `open_dataset`.
        split: which images.
        root: the data root.
        size: pixels to which they are resized; None: as they are.

    Raises:
        UsageError, DataError, EnvironmentFault: as `open_dataset` and `batches`; images without classes.
    """
    source = needs_labels(open_dataset(dataset, split, root=root), dataset, "A labelled dataset")
    assert source.labels is not None
    return LabelledImages(images=torch.cat(list(batches(source, size=size))), labels=source.labels)
