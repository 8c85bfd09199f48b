"""All scores of a set of generated images in one feature space, over several draws.

A draw is a stretch of images that share nothing with other draws; the spread over draws says how much a score depends
on which images were generated. Real images are in a random order, so that a first part of them is a sample.

Legend: N generated images of a draw, M real images, D dimension.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any, TypeGuard

import torch
from torch import Tensor

from copgen.evaluation.generation.class_score import SPLITS, class_score
from copgen.evaluation.generation.feature_chunks import Chunks
from copgen.evaluation.generation.frechet import Moments, frechet_distance, moments, square_root
from copgen.evaluation.generation.manifolds import manifolds
from copgen.evaluation.spaces import FeatureSpace
from copgen.evaluation.spaces.space import ClassifyingSpace

FEWEST = 2 * SPLITS  # images of a draw, and of the real ones: two in each split, six in each half


def names(space: FeatureSpace) -> tuple[str, str]:
    """The keys of the Fréchet distance and of the class score in a space: FID and Inception Score are Inception's."""
    inception = space.name == "inception"
    return ("fid", "inception_score") if inception else ("frechet_distance", "class_score")


def classifies(space: FeatureSpace) -> TypeGuard[ClassifyingSpace]:
    """Whether a space has classes."""
    return hasattr(space, "logits")


class Scorer:
    """Compares generated images with the real ones in a space.

    Args:
        space: of the features.
        real: their features, in a random order.
        nearest_of: most images of either side for precision, recall, density and coverage.
        device: where distances and covariances are computed.
    """

    def __init__(self, space: FeatureSpace, real: Chunks, *, nearest_of: int, device: torch.device) -> None:
        self.space, self.real, self.nearest_of, self.device = space, real, nearest_of, device
        self.moments = self._moments(real, 0, real.count)
        self.root = square_root(self.moments)

    def scores(self, generated: Chunks, draws: Sequence[range]) -> dict[str, Any]:
        """JSON-able: for each score the mean over draws, its standard deviation (null for one draw) and the values.

        Args:
            generated: the features of all draws.
            draws: the rows of each.
        """
        found = [self._draw(generated, rows) for rows in draws]
        return {name: summary([one[name] for one in found]) for name in found[0]}

    def reference(self) -> dict[str, float]:
        """The same scores of one half of the real images against the other: what a perfect generator would have."""
        half = self.real.count // 2
        frechet, classes = names(self.space)
        one, other = self._moments(self.real, 0, half), self._moments(self.real, half, 2 * half)
        compared = min(half, self.nearest_of)
        first, second = (self.real.tensor(at, at + compared).to(self.device) for at in (0, half))
        found = {frechet: frechet_distance(one, other), **asdict(manifolds(first, second))}
        if classifies(self.space):
            found[classes] = class_score(self._logits(self.real, 0, self.real.count), count=self.real.count).mean
        return found

    def _draw(self, generated: Chunks, rows: range) -> dict[str, float]:
        frechet, classes = names(self.space)
        found = {
            frechet: frechet_distance(self.moments, self._moments(generated, rows.start, rows.stop), root=self.root)
        }
        if classifies(self.space):
            score = class_score(self._logits(generated, rows.start, rows.stop), count=len(rows))
            found |= {classes: score.mean, f"{classes}_splits_std": score.std}
        real = self.real.tensor(0, min(self.real.count, self.nearest_of))
        some = generated.tensor(rows.start, min(rows.stop, rows.start + self.nearest_of))
        return {**found, **asdict(manifolds(real.to(self.device), some.to(self.device)))}

    def _moments(self, chunks: Chunks, first: int, end: int) -> Moments:
        return moments(part.to(self.device) for part in chunks.rows(first, end))

    def _logits(self, chunks: Chunks, first: int, end: int) -> Iterator[Tensor]:
        assert classifies(self.space)
        for part in chunks.rows(first, end):
            yield self.space.logits(part).cpu()


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean and sample standard deviation of the draws."""
    return {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else None, "draws": list(values)}
