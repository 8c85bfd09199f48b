"""Splits by position within the class."""

from __future__ import annotations

import pytest
import torch

from copgen.data.splits import positions, rows_of


def test_positions_count_within_each_class() -> None:
    assert positions(torch.tensor([2, 0, 2, 2, 0, 1])).tolist() == [0, 0, 1, 2, 1, 0]


@pytest.mark.parametrize("labels", [torch.arange(103) % 4, None])
def test_training_and_validation_are_disjoint_and_complete(labels: torch.Tensor | None) -> None:
    train, validation = rows_of("train", labels, 103), rows_of("validation", labels, 103)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(103))
    assert rows_of("train+validation", labels, 103).tolist() == list(range(103))
    assert len(validation) == pytest.approx(10.3, abs=2)
    if labels is not None:
        counts = labels[validation].bincount(minlength=4)
        assert int(counts.min()) >= 2
        assert int(counts.max()) <= 3


def test_a_class_of_fewer_than_five_is_for_training_alone() -> None:
    assert rows_of("validation", torch.zeros(4, dtype=torch.int64), 4).tolist() == []
    assert rows_of("validation", torch.zeros(5, dtype=torch.int64), 5).tolist() == [4]
