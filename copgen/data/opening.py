"""Opens the training data of pretraining by name: a pairs folder, or a dataset of real images."""

from __future__ import annotations

from pathlib import Path

from copgen.data.datasets import open_dataset
from copgen.data.pairs import open_generated
from copgen.data.source import Source
from copgen.data.splits import AnySplit
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events


def open_source(
    *,
    pairs: Path | None,
    dataset: str | None,
    seed: int,
    split: AnySplit = "train",
    root: Path | None = None,
    labelled: bool = False,
    events: Events | None = None,
) -> Source:
    """A split of a dataset, else a pairs folder.

    Args:
        pairs: a pairs folder.
        dataset: a name or a folder, as in `open_dataset`.
        seed: of the run; selects the positives of the pairs.
        split: of the dataset.
        root: the data root, for a dataset by name.
        labelled: read the class of every pair; datasets have theirs anyway.
        events: receives the progress of a download.

    Raises:
        DataError: a shard is missing, truncated or modified; the error names the file. Errors of `open_dataset`.
        UsageError: an unknown dataset, or neither pairs nor dataset.
    """
    if dataset is not None:
        return open_dataset(dataset, split, root=root, events=events)
    if pairs is None:
        raise UsageError("No training data was given.", fix="Pass a pairs folder with --pairs.")
    return open_generated(pairs, seed=seed, labelled=labelled)
