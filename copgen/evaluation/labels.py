"""Checks of the labels of an evaluation: no empty split, no class that training images do not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from copgen.data.splits import Split
from copgen.runtime.errors import DataError


def check_labels(
    labels: Mapping[Split, Tensor | None], classes: Sequence[str], *, dataset: str | Path
) -> tuple[str, ...]:
    """The names of the classes, by label; their numbers if they have no names.

    Args:
        labels: (N,) int64 of each split.
        classes: their names; may be empty.
        dataset: how messages name it.

    Raises:
        DataError: an empty split; a label below 0, or without a name; fewer than two classes; a class of validation or
            test that no training image has.
    """
    for split, found in labels.items():
        if found is None or not len(found):
            raise DataError(
                f"The {split} split of {dataset} has no images.",
                fix="Validation takes the fifth of every ten images of a class, if there is no folder of it: a class "
                "needs five images.",
            )
        low, high = int(found.min()), int(found.max())
        if low < 0 or (classes and high >= len(classes)):
            bad = low if low < 0 else high
            raise DataError(
                f"The {split} split of {dataset} has the label {bad}; labels are 0 to {len(classes) - 1}.",
                fix="Use the same classes in all splits, numbered from 0.",
            )
    present = {split: set(found.tolist()) for split, found in labels.items() if found is not None}
    names = tuple(classes) or tuple(str(label) for label in range(max(map(max, present.values())) + 1))
    if len(present["train"]) < 2:
        raise DataError(
            f"The training images of {dataset} are of one class.", fix="A probe needs at least two classes."
        )
    for split, there in present.items():
        if unknown := sorted(there - present["train"]):
            raise DataError(
                f"The class {names[unknown[0]]!r} has images in the {split} split of {dataset}, and none for training.",
                fix="Add training images of it, or remove it.",
            )
    return names
