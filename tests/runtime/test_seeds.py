"""Seeding of torch's generator inside a block."""

from __future__ import annotations

import pytest
import torch

from copgen.runtime.seeds import seeded


def drawn(seed: int, stream: str) -> list[float]:
    with seeded(seed, stream):
        return [float(value) for value in torch.rand(4)]


def test_the_same_seed_and_stream_give_the_same_numbers() -> None:
    assert drawn(3, "a") == drawn(3, "a")
    assert len({tuple(drawn(seed, stream)) for seed in (0, 1) for stream in ("a", "b")}) == 4


@pytest.mark.parametrize("fail", [False, True])
def test_the_generator_is_as_it_was_afterwards(fail: bool) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    try:
        with seeded(0, "a"):
            torch.rand(100)
            if fail:
                raise ValueError
    except ValueError:
        pass
    assert torch.equal(torch.rand(3), expected)
