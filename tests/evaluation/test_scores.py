"""Top-1, Top-5, accuracy per class and the confusion matrix, against their definitions."""

from __future__ import annotations

import pytest
import torch

from copgen.evaluation.scores import scores


@pytest.mark.parametrize("classes", [2, 5, 6, 40])
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_definition(classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(200, classes, generator=generator)
    labels = torch.randint(classes, (200,), generator=generator)
    found = scores(logits.argsort(dim=1, descending=True)[:, :5], labels, classes=classes)
    rank = (logits > logits.gather(1, labels[:, None])).sum(dim=1)  # of the label, from 0
    assert found.top1 == pytest.approx(float((rank < 1).double().mean()))
    assert found.top5 == (None if classes <= 5 else pytest.approx(float((rank < 5).double().mean())))
    assert int(found.confusion.sum()) == 200
    assert found.confusion.diagonal().sum() == (rank < 1).sum()
    assert found.confusion.sum(dim=1).tolist() == labels.bincount(minlength=classes).tolist()
    for label, accuracy in enumerate(found.per_class):
        own = rank[labels == label]
        assert accuracy == (pytest.approx(float((own < 1).double().mean())) if len(own) else None)


def test_names_and_a_class_without_images() -> None:
    ranked = torch.tensor([[0, 1, 2], [1, 0, 2], [1, 0, 2]])
    document = scores(ranked, torch.tensor([0, 0, 1]), classes=3).document(("cat", "dog", "owl"))
    assert document == {
        "top1": 2 / 3,
        "top5": None,
        "per_class": {"cat": 0.5, "dog": 1.0, "owl": None},
        "confusion": {"cat": {"cat": 1, "dog": 1}, "dog": {"dog": 1}, "owl": {}},
    }
