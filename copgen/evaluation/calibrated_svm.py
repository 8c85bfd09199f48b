"""A fitted support vector machine with calibrated probabilities, as plain arrays, so that it can be kept in a file.

One machine with a Gaussian kernel for each two classes; their decisions are added up for each class (one vote for each
won, ties by the sums of decisions), and a sigmoid for each class makes probabilities of them (Platt 1999). The numbers
are those of scikit-learn's `CalibratedClassifierCV(SVC(), ensemble=False)`.

Legend: N images, D pixels, S support vectors, C classes, P = C (C - 1) / 2 pairs of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV

ROWS = 1024  # whose kernel is in memory at once


@dataclass(frozen=True, eq=False)
class CalibratedSVM:
    """Class probabilities.

    Attributes:
        vectors: (S, D) support vectors, those of a class together.
        counts: (C,) int64, how many each class has.
        dual: (C - 1, S) coefficients: of a vector of class i against class j in row j - 1 if i < j, else in row j.
        intercepts: (P,) of the pairs (0, 1), (0, 2), ..., (1, 2), ...
        gamma: (1,) of the kernel exp(-gamma |x - v|^2).
        slopes, offsets: (C,) of the sigmoids 1 / (1 + exp(slope f + offset)).
    """

    vectors: np.ndarray
    counts: np.ndarray
    dual: np.ndarray
    intercepts: np.ndarray
    gamma: np.ndarray
    slopes: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, fitted: CalibratedClassifierCV) -> CalibratedSVM:
        """That of scikit-learn, with labels 0 to C - 1."""
        (calibrated,) = fitted.calibrated_classifiers_
        machine, sigmoids = calibrated.estimator, calibrated.calibrators
        return cls(
            vectors=machine.support_vectors_,
            counts=machine.n_support_.astype(np.int64),
            dual=machine.dual_coef_,
            intercepts=machine.intercept_,
            gamma=np.array([machine.gamma], dtype=np.float64),
            slopes=np.array([one.a_ for one in sigmoids], dtype=np.float64),
            offsets=np.array([one.b_ for one in sigmoids], dtype=np.float64),
        )

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> CalibratedSVM:
        """From what `tensors` gave (KeyError: an array is missing)."""
        return cls(**{field.name: tensors[field.name].numpy() for field in fields(cls)})

    def tensors(self) -> dict[str, Tensor]:
        """All arrays, by name."""
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in asdict(self).items()}

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """(N, C) probabilities of images (N, D) float64."""
        parts = [self._probabilities(images[start : start + ROWS]) for start in range(0, len(images), ROWS)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.counts)))

    def _probabilities(self, images: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            each = 1.0 / (1.0 + np.exp(self.slopes * self._decisions(images) + self.offsets))
        total = each.sum(axis=1, keepdims=True)
        found: np.ndarray = np.full_like(each, 1.0 / each.shape[1])
        np.divide(each, total, out=found, where=total > 0)
        return found

    def _decisions(self, images: np.ndarray) -> np.ndarray:
        """(N, C): the votes of each class, and between them the sum of the decisions, squeezed into (-1/3, 1/3)."""
        squared = (images**2).sum(axis=1)[:, None] + (self.vectors**2).sum(axis=1) - 2.0 * images @ self.vectors.T
        kernel = np.exp(-self.gamma * np.maximum(squared, 0.0))
        ends = np.cumsum(self.counts)
        of = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        votes, sums = (np.zeros((len(images), len(self.counts))) for _ in range(2))
        for number, (i, j) in enumerate(combinations(range(len(self.counts)), 2)):
            decision = kernel[:, of[i]] @ self.dual[j - 1, of[i]] + kernel[:, of[j]] @ self.dual[i, of[j]]
            decision = decision + self.intercepts[number]
            votes[:, i] += decision >= 0
            votes[:, j] += decision < 0
            sums[:, i] += decision
            sums[:, j] -= decision
        found: np.ndarray = votes + sums / (3.0 * (np.abs(sums) + 1.0))
        return found
