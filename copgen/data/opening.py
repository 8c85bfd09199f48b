"""Opens the training data of pretraining by name: a pairs folder, or a dataset of real images."""

from __future__ import annotations

from pathlib import Path

from copgen.data.images import ImagesInMemory, load_dataset
from copgen.data.pairs import open_generated
from copgen.data.source import Source
from copgen.runtime.errors import UsageError


def open_source(*, pairs: Path | None, dataset: str | None, seed: int) -> Source:
    """The training split of a dataset, else a pairs folder.

    Raises:
        DataError: a shard is missing, truncated or modified; the error names the file.
        UsageError: an unknown dataset, or neither pairs nor dataset.
    """
    if dataset is not None:
        return ImagesInMemory(load_dataset(dataset, "train"))
    if pairs is None:
        raise UsageError("No training data was given.", fix="Pass a pairs folder with --pairs.")
    return open_generated(pairs, seed=seed)
