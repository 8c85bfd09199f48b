"""How generated images cover real ones: improved precision and recall, density and coverage.

The manifold of a set is the union of balls around its features that reach to the k-th nearest other one.

* Precision: the share of generated images within the real manifold; recall: of real images within the generated one
  (Kynkäänniemi et al. 2019, k = 3).
* Density: how many real balls a generated image is in, over k; coverage: the share of real balls with a generated image
  (Naeem et al. 2020, k = 5). Outliers among real images hardly change them.

Distances are computed block by block in float64: memory does not depend on the square of the numbers.

Legend: N real and M generated features, D dimension.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.runtime.errors import UsageError

NEAREST, NEAREST_OF_DENSITY = 3, 5
BLOCK = 2048  # features in a block: 32 MB of distances


@dataclass(frozen=True)
class Manifolds:
    """Shares from 0 to 1; density is 0 or more, near 1 for equal distributions."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifolds(
    real: Tensor, generated: Tensor, *, k: int = NEAREST, k_of_density: int = NEAREST_OF_DENSITY
) -> Manifolds:
    """Compare features.

    Args:
        real: (N, D), floating point.
        generated: (M, D), on the same device.
        k: neighbour of precision and recall.
        k_of_density: of density and coverage.

    Raises:
        UsageError: not more features than neighbours.
    """
    fewest, most = min(len(real), len(generated)), max(k, k_of_density)
    if fewest <= most:
        raise UsageError(f"The {most} nearest of {fewest} images were asked for.", fix=f"Take more than {most} images.")
    centre = real.double().mean(dim=0)  # distances are the same, and rounded less
    real, generated = real.double() - centre, generated.double() - centre
    of_real, of_generated = radii(real, (k, k_of_density)), radii(generated, (k,))[0]
    inside = torch.zeros(len(generated), dtype=torch.bool, device=real.device)
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool, device=real.device) for _ in range(2))
    balls = 0
    for rows, columns, squared in distances(real, generated):
        inside[columns] |= (squared <= of_real[0][rows, None]).any(dim=0)
        recalled[rows] |= (squared <= of_generated[columns]).any(dim=1)
        held = squared <= of_real[1][rows, None]
        covered[rows] |= held.any(dim=1)
        balls += int(held.sum())
    return Manifolds(
        precision=float(inside.double().mean()),
        recall=float(recalled.double().mean()),
        density=balls / (k_of_density * len(generated)),
        coverage=float(covered.double().mean()),
    )


def radii(features: Tensor, ks: tuple[int, ...]) -> list[Tensor]:
    """For each k the squared distance of every feature (N, D) to its k-th nearest other one, (N,)."""
    most = max(ks)
    nearest = features.new_full((len(features), most), torch.inf)
    for rows, columns, squared in distances(features, features):
        if rows == columns:
            squared.fill_diagonal_(torch.inf)
        both = torch.cat((nearest[rows], squared), dim=1)
        nearest[rows] = both.topk(most, dim=1, largest=False).values
    return [nearest[:, k - 1] for k in ks]


def distances(one: Tensor, other: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Blocks of the squared distances of float64 features (N, D) and (M, D): rows, columns, and (K, L)."""
    lengths, others = one.square().sum(dim=1), other.square().sum(dim=1)
    for start in range(0, len(one), BLOCK):
        rows = slice(start, min(start + BLOCK, len(one)))
        for first in range(0, len(other), BLOCK):
            columns = slice(first, min(first + BLOCK, len(other)))
            squared = torch.addmm(others[columns].expand(rows.stop - start, -1), one[rows], other[columns].T, alpha=-2)
            yield rows, columns, squared.add_(lengths[rows, None]).clamp_(min=0.0)
