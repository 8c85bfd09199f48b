"""A classifier of real digits: the judge of generated ones. It never trains a generator, a navigator or an encoder.

A support vector machine with calibrated probabilities, fitted on augmented and dequantised training images so that its
confidence means something for images that are not on the grid of 17 grey levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from copgen import views
from copgen.datasets import digits
from copgen.runtime import philox

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV

_COPIES = 8


@dataclass(frozen=True)
class DigitsClassifier:
    """Class probabilities of images in [-1, 1]."""

    machine: CalibratedClassifierCV

    def probabilities(self, images: Tensor) -> np.ndarray:
        """(N, 10) for images (N, 1, 8, 8) in [-1, 1]."""
        probabilities: np.ndarray = self.machine.predict_proba(_features(images))
        return probabilities

    def labels(self, images: Tensor) -> np.ndarray:
        """The most probable class (N,)."""
        labels: np.ndarray = self.probabilities(images).argmax(1)
        return labels

    def confident_share(self, images: Tensor, *, at_least: float = 0.9) -> float:
        """The share of images whose most probable class has at least this probability."""
        return float((self.probabilities(images).max(1) >= at_least).mean())

    def kept_share(self, anchors: Tensor, positives: Tensor) -> float:
        """The share of pairs whose positive has its anchor's label."""
        return float((self.labels(anchors) == self.labels(positives)).mean())


def _features(images: Tensor) -> np.ndarray:
    return np.asarray(((images.detach().cpu() + 1.0) / 2.0).flatten(1).double().numpy())


def fit_digits_classifier(*, seed: int = 0) -> DigitsClassifier:
    """Fit the judge on the training split of the real digits; about ten seconds on one core."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import GroupKFold
    from sklearn.svm import SVC

    real = digits.load("train")
    rows = range(_COPIES * len(real.labels))
    policy = views.policy("mnist")
    augmented = views.augment(real.images.repeat(_COPIES, 1, 1, 1), policy, seed=seed, rows=rows, stream="judge/views")
    noise = philox.uniform(seed, rows, augmented[0].numel(), stream="judge/noise").float() - 0.5
    features = (augmented.flatten(1) + noise / digits.LEVELS).double().numpy()
    labels = np.tile(real.labels.numpy(), _COPIES)
    # The copies of one image stay in one fold, or the calibration would see its own training data.
    sources = np.tile(np.arange(len(real.labels)), _COPIES)
    folds = list(GroupKFold(n_splits=5).split(features, labels, groups=sources))
    machine = CalibratedClassifierCV(SVC(C=10.0, gamma=0.256), ensemble=False, cv=folds)
    machine.fit(features, labels)
    return DigitsClassifier(machine)


def judge_accuracy(judge: DigitsClassifier) -> float:
    """The judge's accuracy on the real test split."""
    real = digits.load("test")
    return float((judge.labels(real.images) == real.labels.numpy()).mean())
