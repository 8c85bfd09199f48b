"""A distribution in numbers, and how far one lies above its null level.

The null level of a similarity is that of an anchor and the positive of another pair: what images of the same generator
have in common anyway.
"""

from __future__ import annotations

import torch
from torch import Tensor

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def spread(values: Tensor) -> dict[str, float]:
    """Mean, standard deviation and quantiles ('0.01' to '0.99') of values (N,), N >= 1."""
    values = values.double()
    quantiles = torch.quantile(values, values.new_tensor(QUANTILES)).tolist()
    found = {"mean": float(values.mean()), "std": float(values.std(correction=0))}
    return found | {f"{q:g}": value for q, value in zip(QUANTILES, quantiles, strict=True)}


def above_null(values: Tensor, null: Tensor) -> float:
    """The probability that a value is larger than one of the null level, 0.5 to 1 if they have to do with each other.

    Ties count half: the area under the ROC curve, or Mann and Whitney's U as a share. It has no unit, so that
    similarities of any kind compare.

    Args:
        values: (N,).
        null: (M,).
    """
    values, null = values.double(), null.double().sort().values
    below = torch.searchsorted(null, values, right=False)
    up_to = torch.searchsorted(null, values, right=True)
    return float((below + up_to).double().mean() / (2 * len(null)))
