"""The Fréchet distance of two sets of features, each taken as a Gaussian (Heusel et al. 2017).

|mu - mu'|^2 + tr(S + S' - 2 (S S')^(1/2)), in float64. Only in the features of Inception it is called FID. It is biased
upwards for few images, the more so the more dimensions there are: compare equal numbers only.

Legend: N features, D dimension.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features.

    Attributes:
        count: N.
        mean: (D,) float64.
        covariance: (D, D) float64, unbiased.
    """

    count: int
    mean: Tensor
    covariance: Tensor


def moments(parts: Iterable[Tensor]) -> Moments:
    """The moments of features that come in parts (K, D), of which one is in memory at a time; N >= 2 in all.

    Sums are taken about the mean of the first part, so that nothing is lost if features are far from zero.
    """
    count, shift = 0, torch.empty(0)
    total, products = torch.empty(0), torch.empty(0)
    for part in parts:
        if not count:
            shift = part.double().mean(dim=0)
            total, products = torch.zeros_like(shift), torch.zeros_like(torch.outer(shift, shift))
        centred = part.double() - shift
        count += len(part)
        total += centred.sum(dim=0)
        products.addmm_(centred.T, centred)
    if count < 2:
        raise ValueError(f"moments of {count} features")
    off = total / count
    return Moments(count, shift + off, (products - count * torch.outer(off, off)) / (count - 1))


def square_root(moments: Moments) -> Tensor:
    """R (D, D) with R R = S, symmetric."""
    values, vectors = torch.linalg.eigh(moments.covariance)
    root: Tensor = (vectors * values.clamp(min=0.0).sqrt()) @ vectors.T
    return root


def frechet_distance(one: Moments, other: Moments, *, root: Tensor | None = None) -> float:
    """The squared distance of the two Gaussians, 0 or more.

    The trace of (S S')^(1/2) is that of (R S' R)^(1/2) with R = S^(1/2): symmetric, so that its eigenvalues are real
    also where there are fewer features than dimensions.

    Args:
        one, other: of equal dimension, on one device.
        root: `square_root(one)`, where several are compared with it; None: computed here.
    """
    root = square_root(one) if root is None else root
    inner = root @ other.covariance @ root
    shared = torch.linalg.eigvalsh((inner + inner.T) / 2.0).clamp(min=0.0).sqrt().sum()
    apart = (one.mean - other.mean).square().sum()
    distance = apart + one.covariance.trace() + other.covariance.trace() - 2.0 * shared
    return max(0.0, float(distance))
