"""A classifier of real digits that judges generated ones. It is never used to train anything else.

A support vector machine with calibrated probabilities over eleven classes: the ten digits, and "no digit", fitted on
images with shuffled pixels and on noise. Without that class nearly all noise would be classified as a digit. It is
fitted on augmented and dequantised images, so that its confidence is meaningful for images that are not on the grid of
17 grey levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from copgen import views
from copgen.data import digits
from copgen.evaluation.calibrated_svm import CalibratedSVM
from copgen.runtime import philox

NO_DIGIT = digits.CLASSES
_COPIES = 8
_SHUFFLED_COPIES = 2


@dataclass(frozen=True)
class DigitsClassifier:
    """Class probabilities of images in [-1, 1]."""

    machine: CalibratedSVM

    def probabilities(self, images: Tensor) -> np.ndarray:
        """(N, 11) for images (N, 1, 8, 8) in [-1, 1]: the ten digits, then "no digit"."""
        probabilities: np.ndarray = self.machine.predict_proba(_features(images))
        return probabilities

    def labels(self, images: Tensor) -> np.ndarray:
        """The most probable class (N,): 0 to 9, or 10 for "no digit"."""
        labels: np.ndarray = self.probabilities(images).argmax(1)
        return labels

    def confident_share(self, images: Tensor, *, at_least: float = 0.9) -> float:
        """The share of images for which one of the ten digits has at least this probability."""
        return float((self.probabilities(images)[:, :NO_DIGIT].max(1) >= at_least).mean())

    def kept_share(self, anchors: Tensor, positives: Tensor) -> float:
        """The share of pairs whose positive has its anchor's label."""
        return float((self.labels(anchors) == self.labels(positives)).mean())


def _features(images: Tensor) -> np.ndarray:
    features: np.ndarray = ((images.detach().cpu() + 1.0) / 2.0).flatten(1).double().numpy()
    return features


def fit_digits_classifier(*, seed: int = 0) -> DigitsClassifier:
    """Fit the classifier on the training split of the real digits; takes about twelve seconds on one core."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import GroupKFold
    from sklearn.svm import SVC

    real = digits.load("train")
    count = len(real.labels)
    rows = range(_COPIES * count)
    policy = views.policy("mnist")
    augmented = views.augment(real.images.repeat(_COPIES, 1, 1, 1), policy, seed=seed, rows=rows, stream="judge/views")
    noise = philox.uniform(seed, rows, augmented[0].numel(), stream="judge/noise").float() - 0.5
    pictures = augmented.flatten(1) + noise / digits.LEVELS
    no_digits = torch.cat((_shuffled(pictures[: _SHUFFLED_COPIES * count], seed), _noise(pictures, seed)))
    labels = np.concatenate((np.tile(real.labels.numpy(), _COPIES), np.full(len(no_digits), NO_DIGIT)))
    # All copies of an image are in one fold, or the calibration would see its own training data.
    sources = np.arange(len(labels)) % count
    features = torch.cat((pictures, no_digits)).double().numpy()
    folds = list(GroupKFold(n_splits=5).split(features, labels, groups=sources))
    machine = CalibratedClassifierCV(SVC(C=10.0, gamma=0.256), ensemble=False, cv=folds)
    machine.fit(features, labels)
    return DigitsClassifier(CalibratedSVM.of(machine))


def _shuffled(pictures: Tensor, seed: int) -> Tensor:
    """The same images (N, 64), the pixels of each in a random order."""
    order = philox.uniform(seed, range(len(pictures)), pictures.shape[1], stream="judge/shuffle").argsort(1)
    return pictures.gather(1, order)


def _noise(pictures: Tensor, seed: int) -> Tensor:
    """Uniform noise, a quarter as many images (N / 4, 64)."""
    return philox.uniform(seed, range(len(pictures) // 4), pictures.shape[1], stream="judge/uniform").float()


def judge_accuracy(judge: DigitsClassifier) -> float:
    """The classifier's accuracy on the real test split."""
    real = digits.load("test")
    return float((judge.labels(real.images) == real.labels.numpy()).mean())
