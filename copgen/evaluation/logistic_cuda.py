"""Multinomial logistic regression on a GPU: the problem of logistic.py, with its data and its optimizer on a device.

    mean over images of cross entropy(W x + b, label) + |W|^2 / (2 C N),        float64, L-BFGS, strong Wolfe

A fit on 1 % of ImageNet takes hundreds of products of 12,800 x 2048 x 1000 numbers, which is hours of one core. Both
solvers reach the same minimum, as the problem is convex; they differ by rounding and by where they stop.

Legend: N images, D feature dimension, K classes, C inverse L2 strength.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from copgen.evaluation.logistic import TOLERANCE, Fit, Labelled, fit

LARGE = 10**8  # N D K from which a device is faster: an iteration is half a second of one core for ten times as many
ROWS = 16_384  # whose logits are held at once
_SMALLEST_CHANGE = 1e-14  # of the loss and of the weights; scikit-learn's lbfgs stops at the same relative change
_LINE_SEARCH = 25  # evaluations of the loss in an iteration, at most; PyTorch's


def solver(device: torch.device) -> Fit:
    """The `fit` for features of an encoder on this device; small problems and two classes stay on the CPU."""
    return fit if device.type == "cpu" else partial(_by_size, device=device)


def _by_size(data: Labelled, c: float, *, max_iterations: int, device: torch.device) -> tuple[Any, bool]:
    classes = len(np.unique(data.labels))
    if classes == 2 or data.features.size * classes < LARGE:
        return fit(data, c, max_iterations=max_iterations)
    return fit_on(data, c, max_iterations=max_iterations, device=device)


@dataclass(frozen=True)
class DeviceModel:
    """classes_ (K,) int64, ascending; weight (K, D) and bias (K,) float64 on the device."""

    classes_: npt.NDArray[np.int64]
    weight: Tensor
    bias: Tensor

    def decision_function(self, features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Logits (N, K) of features (N, D)."""
        parts = [
            F.linear(part.to(self.weight), self.weight, self.bias).cpu()
            for part in torch.split(torch.from_numpy(features), ROWS)
        ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)

    def predict(self, features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
        """The most likely label (N,) of features (N, D)."""
        labels: npt.NDArray[np.int64] = self.classes_[self.decision_function(features).argmax(axis=1)]
        return labels


def fit_on(data: Labelled, c: float, *, max_iterations: int, device: torch.device) -> tuple[DeviceModel, bool]:
    """The model at strength C, and whether L-BFGS converged within `max_iterations`.

    Args:
        data: of three classes or more.
        c: C.
        max_iterations: of L-BFGS.
        device: for N x D numbers of float64, `ROWS` x K logits and 22 x K x D numbers of L-BFGS.
    """
    classes, labels = np.unique(data.labels, return_inverse=True)
    features = torch.from_numpy(data.features).to(device, torch.float64)
    target = torch.from_numpy(labels).to(device)
    weight = torch.zeros(len(classes), features.shape[1], dtype=torch.float64, device=device, requires_grad=True)
    bias = torch.zeros(len(classes), dtype=torch.float64, device=device, requires_grad=True)
    lbfgs = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iterations,
        max_eval=max_iterations * _LINE_SEARCH,
        tolerance_grad=TOLERANCE,
        tolerance_change=_SMALLEST_CHANGE,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    count = len(target)

    def loss() -> Tensor:
        lbfgs.zero_grad()
        total = weight.square().sum() / (2.0 * c * count)
        total.backward()  # type: ignore[no-untyped-call]
        for rows, some in zip(torch.split(features, ROWS), torch.split(target, ROWS), strict=True):
            term = F.cross_entropy(F.linear(rows, weight, bias), some, reduction="sum") / count
            term.backward()  # type: ignore[no-untyped-call]
            total = total.detach() + term.detach()
        return total

    lbfgs.step(loss)  # type: ignore[no-untyped-call]
    taken = int(lbfgs.state[weight]["n_iter"])
    return DeviceModel(classes, weight.detach(), bias.detach()), taken < max_iterations
