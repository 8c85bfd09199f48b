"""Measures by name; the cosine in a space of features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from copgen.evaluation.similarity import open_similarity
from copgen.evaluation.similarity.cosine import CosineSimilarity
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Silent

CPU = torch.device("cpu")


def test_the_cosine_of_features() -> None:
    torch.manual_seed(0)
    x, y = torch.rand(2, 5, 3, 16, 16) * 2 - 1
    similarity = open_similarity("pixels", device=CPU, events=Silent())
    assert isinstance(similarity, CosineSimilarity)
    a, b = (one.double().numpy().reshape(5, -1) for one in (x, y))  # that space is 16 x 16 pixels
    wanted = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert similarity(x, y).tolist() == pytest.approx(wanted.tolist(), abs=1e-6)
    assert similarity(x, x).tolist() == pytest.approx([1.0] * 5, abs=1e-6)
    assert similarity(x, -x).tolist() == pytest.approx([-1.0] * 5, abs=1e-6)


@pytest.mark.parametrize("name", ["ms-ssim", "pixels"])
def test_each_says_what_it_is(name: str) -> None:
    similarity = open_similarity(name, device=CPU, events=Silent())
    assert (similarity.name, similarity.inputs) == (name, {})
    assert "no weights" in similarity.text


@pytest.mark.parametrize(
    ("name", "remedy"), [("ms-sim", "ms-ssim"), ("encoder:", "encoder:runs/pretrain"), ("", "lpips")]
)
def test_unknown_measures_are_refused(name: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy):
        open_similarity(name, device=CPU, events=Silent())


def test_an_encoder_that_is_not_there() -> None:
    with pytest.raises(DataError, match="nowhere"):
        open_similarity("encoder:nowhere", device=CPU, events=Silent())
