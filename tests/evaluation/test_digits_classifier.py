"""The classifier that judges generated digits, fitted once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from copgen.data import digits
from copgen.evaluation.digits_classifier import NO_DIGIT, DigitsClassifier, fit_digits_classifier, judge_accuracy


@pytest.fixture(scope="module")
def judge() -> DigitsClassifier:
    return fit_digits_classifier()


def test_it_knows_real_digits(judge: DigitsClassifier) -> None:
    real = digits.load("test")
    assert judge_accuracy(judge) > 0.97
    assert judge_accuracy(judge) == float((judge.labels(real.images) == real.labels.numpy()).mean())
    assert judge.confident_share(real.images) > 0.8


def test_probabilities_are_probabilities(judge: DigitsClassifier) -> None:
    real = digits.load("test").images[:50]
    probabilities = judge.probabilities(real)
    assert probabilities.shape == (50, 11)
    assert probabilities.min() >= 0.0
    np.testing.assert_allclose(probabilities.sum(1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(judge.labels(real), probabilities.argmax(1))


def test_where_it_is_sure_of_a_real_digit_it_is_right(judge: DigitsClassifier) -> None:
    real = digits.load("test")
    probabilities = judge.probabilities(real.images)[:, :10].max(1)
    right = judge.labels(real.images) == real.labels.numpy()
    assert right[probabilities >= 0.9].mean() > 0.98
    assert right[probabilities < 0.9].mean() < right[probabilities >= 0.9].mean()


@pytest.mark.parametrize("at_least", [0.0, 0.9, 0.95, 1.1])
def test_confident_share_counts_the_most_probable_digit(judge: DigitsClassifier, at_least: float) -> None:
    real = digits.load("test").images
    expected = float((judge.probabilities(real)[:, :10].max(1) >= at_least).mean())
    assert judge.confident_share(real, at_least=at_least) == expected


def test_kept_share_counts_pairs_with_equal_labels(judge: DigitsClassifier) -> None:
    real = digits.load("test").images[:100]
    assert judge.kept_share(real, real) == 1.0
    labels = judge.labels(real)
    order = np.argsort(labels, kind="stable")
    rolled = np.roll(order, 50)
    expected = float((labels[order] == labels[rolled]).mean())
    assert judge.kept_share(real[order], real[rolled]) == pytest.approx(expected)
    assert expected < 0.5


def test_it_is_not_sure_of_what_is_no_digit(judge: DigitsClassifier) -> None:
    noise = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    real = digits.load("test").images
    shuffled = real.flatten(1)[:, torch.randperm(64, generator=torch.Generator().manual_seed(1))].view_as(real)
    plain = torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    for nothing in (noise, shuffled, plain):
        assert judge.confident_share(nothing) < 0.02
        assert (judge.labels(nothing) == NO_DIGIT).mean() > 0.9
