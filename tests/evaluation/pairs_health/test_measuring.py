"""Similarities of pairs and their null level, whatever the batches."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from copgen.evaluation.pairs_health.measuring import BatchOfPairs, Measured
from copgen.evaluation.similarity import Similarity
from copgen.evaluation.similarity.cosine import CosineSimilarity
from copgen.evaluation.similarity.structural import StructuralSimilarity
from copgen.evaluation.spaces.pixels import Pixels


class Counted(Pixels):
    """A space that counts the images that it sees."""

    seen: ClassVar[Counter[str]] = Counter()

    def __call__(self, images: Tensor) -> Tensor:
        self.seen["images"] += len(images)
        return super().__call__(images)


SPACE = Counted(torch.device("cpu"))


@pytest.mark.parametrize("similarity", [StructuralSimilarity(), CosineSimilarity(SPACE)])
@pytest.mark.parametrize("batch", [1, 4, 11])
def test_pairs_and_null_do_not_depend_on_the_batches(similarity: Similarity, batch: int) -> None:
    x, x_pos = torch.rand(2, 11, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = Measured(similarity)
    for part, part_pos in zip(torch.split(x, batch), torch.split(x_pos, batch), strict=True):
        found.add(BatchOfPairs(part, part_pos))
    assert torch.allclose(found.pairs, similarity(x, x_pos), atol=1e-6)
    assert torch.allclose(found.null, similarity(x[1:], x_pos[:-1]), atol=1e-6)


def test_a_single_pair_has_no_null_level() -> None:
    found = Measured(StructuralSimilarity())
    found.add(BatchOfPairs(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)))
    assert (len(found.pairs), len(found.null)) == (1, 0)


def test_a_space_sees_each_image_once() -> None:
    SPACE.seen.clear()
    batch = BatchOfPairs(*torch.rand(2, 5, 3, 8, 8))
    for one in (Measured(CosineSimilarity(SPACE)), Measured(CosineSimilarity(SPACE))):
        one.add(batch)
    batch.features(SPACE)
    assert SPACE.seen["images"] == 10
