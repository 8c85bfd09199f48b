"""Unreadable images that are tolerated: counted and listed over all ranks, wherever they were met."""

from __future__ import annotations

from typing import Any

import pytest

from copgen.data.skipped import Skipped
from copgen.distributed.ranks import Ranks
from copgen.runtime.errors import DataError


class TwoRanks(Ranks):
    """Rank 0 or 1 of two, as the other one tells the given news."""

    def __init__(self, rank: int, others: list[Any]) -> None:
        super().__init__(rank=rank, world=2)
        object.__setattr__(self, "others", others)

    def gathered(self, value: Any) -> list[Any]:
        return [value, self.others] if self.rank == 0 else [self.others, value]  # type: ignore[attr-defined]


def met(most: int, *items: int) -> Skipped:
    skipped = Skipped(most)
    for item in items:
        skipped.instead_of(item, DataError(f"image {item}"), 100)
    return skipped


def test_every_rank_lists_those_of_all_once() -> None:
    mine, theirs = [(3, "image 3"), (5, "image 5")], [(5, "image 5"), (9, "image 9")]
    for rank, (items, others) in enumerate([((3, 5), theirs), ((5, 9), mine)]):
        skipped = met(3, *items)
        assert skipped.news(TwoRanks(rank, others)) == ["image 3", "image 5", "image 9"]
        assert skipped.news(TwoRanks(rank, [])) == []


def test_the_limit_is_of_all_ranks_together_and_raised_on_all() -> None:
    for rank, (items, others) in enumerate([((1, 2), [(7, "image 7")]), ((7,), [(1, "image 1"), (2, "image 2")])]):
        with pytest.raises(DataError, match="3 images are unreadable") as caught:
            met(2, *items).news(TwoRanks(rank, others))
        assert "--skip-bad" in caught.value.fix
