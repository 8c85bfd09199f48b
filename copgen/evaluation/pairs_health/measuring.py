"""Measure pairs batch by batch: their similarity, its null level, and the features of anchors.

A space of features sees each image once, whoever asks for its features.

Legend: N pairs, K pairs of a batch, D feature dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from copgen.evaluation.similarity import Similarity
from copgen.evaluation.similarity.cosine import CosineSimilarity
from copgen.evaluation.spaces import FeatureSpace


class BatchOfPairs:
    """The images of a batch, and their features in any space, which are computed once.

    Args:
        x, x_pos: anchors and positives (K, C, H, W) in [-1, 1].
    """

    def __init__(self, x: Tensor, x_pos: Tensor) -> None:
        self.x, self.x_pos = x, x_pos
        self._features: dict[str, tuple[Tensor, Tensor]] = {}

    def features(self, space: FeatureSpace) -> tuple[Tensor, Tensor]:
        """(K, D) of anchors and of positives."""
        if space.name not in self._features:
            self._features[space.name] = space(self.x), space(self.x_pos)
        return self._features[space.name]


class Measured:
    """The similarities of pairs, and their null level: anchor k + 1 with positive k.

    The pairs come in random order, and so it is the positive of another pair at random. The result does not depend on
    the sizes of the batches.
    """

    def __init__(self, similarity: Similarity) -> None:
        self.similarity = similarity
        self._pairs: list[Tensor] = []
        self._null: list[Tensor] = []
        self._last: Tensor | None = None  # positive of the last pair: its image, or its features

    def restore(self, pairs: Tensor, null: Tensor) -> None:
        """Take over the first n pairs (n,) that were measured before, and the null levels (n,) of all after the first.

        Their last one is that of the next pair, whose own positive was needed for it.
        """
        self._pairs, self._null, self._last = [pairs], [null], None

    def add(self, batch: BatchOfPairs) -> None:
        """Measure the pairs of a batch."""
        compare: Callable[[Tensor, Tensor], Tensor] = self.similarity
        x, x_pos = batch.x, batch.x_pos
        if isinstance(self.similarity, CosineSimilarity):
            compare = self.similarity.between
            x, x_pos = batch.features(self.similarity.space)
        self._pairs.append(compare(x, x_pos).cpu())
        before = x_pos[:-1] if self._last is None else torch.cat((self._last, x_pos[:-1]))
        if len(before):
            self._null.append(compare(x[len(x) - len(before) :], before).cpu())
        self._last = x_pos[-1:]

    @property
    def pairs(self) -> Tensor:
        """(N,) float32."""
        return torch.cat(self._pairs)

    @property
    def null(self) -> Tensor:
        """(N - 1,) float32."""
        return torch.cat(self._null) if self._null else torch.empty(0)


def measured(similarities: Sequence[Similarity]) -> list[Measured]:
    """One for each measure, before the first pair."""
    return [Measured(similarity) for similarity in similarities]
