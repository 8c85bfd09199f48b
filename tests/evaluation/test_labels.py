"""Labels that cannot be evaluated are refused with the split and the class."""

from __future__ import annotations

import pytest
import torch

from copgen.data.splits import Split
from copgen.evaluation.labels import check_labels
from copgen.runtime.errors import DataError


def splits(train: list[int], validation: list[int], test: list[int]) -> dict[Split, torch.Tensor | None]:
    parts: dict[Split, list[int]] = {"train": train, "validation": validation, "test": test}
    return {name: torch.tensor(labels, dtype=torch.int64) for name, labels in parts.items()}


def test_names_are_those_of_the_classes_or_their_numbers() -> None:
    assert check_labels(splits([0, 1, 1], [0], [1]), ("cat", "dog"), dataset="photos") == ("cat", "dog")
    assert check_labels(splits([0, 2], [0], [2]), (), dataset="photos") == ("0", "1", "2")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (splits([0, 1], [], [1]), "validation split of photos has no images"),
        (splits([0, 1], [0], []), "test split of photos has no images"),
        (splits([0, 1], [0], [2]), "test split of photos has the label 2; labels are 0 to 1"),
        (splits([-1, 1], [1], [1]), "train split of photos has the label -1"),
        (splits([0, 0], [0], [0]), "of one class"),
        (splits([1, 1, 0], [1], [0]) | {"train": torch.tensor([1, 1])}, "of one class"),
    ],
)
def test_bad_labels_are_refused(labels: dict[Split, torch.Tensor | None], says: str) -> None:
    with pytest.raises(DataError, match=says):
        check_labels(labels, ("cat", "dog"), dataset="photos")


def test_a_class_without_training_images_is_named() -> None:
    with pytest.raises(DataError, match="'owl' has images in the test split of photos"):
        check_labels(splits([0, 1], [0], [2]), ("cat", "dog", "owl"), dataset="photos")
