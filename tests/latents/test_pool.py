"""The pool of `nearest`: latents by (seed, number), and conditions dealt in turn."""

from __future__ import annotations

import torch

from copgen.latents import Prior
from copgen.latents.pool import Pool

CPU = torch.device("cpu")


def test_latent_j_is_a_function_of_seed_and_j() -> None:
    pool = Pool(Prior(), dim=5, seed=3, count=40)
    several = pool.latents(range(40), CPU)
    assert torch.equal(pool.latents(torch.tensor([7, 31]), CPU), several[[7, 31]])
    assert not torch.equal(Pool(Prior(), 5, 4, 40).latents(range(40), CPU), several)
    assert not torch.equal(Prior().draw(range(40), dim=5, seed=3), several)  # no anchor is in the pool
    assert pool.condition(range(4), CPU) is None
    assert (pool.stride, pool.fewest) == (1, 40)


def test_conditions_are_dealt_in_turn() -> None:
    pool = Pool(Prior(), dim=5, seed=3, count=11, conditions=(6, 2, 9))
    dealt = pool.condition(range(11), CPU)
    assert dealt is not None
    assert dealt.tolist() == [6, 2, 9, 6, 2, 9, 6, 2, 9, 6, 2]
    first = pool.first(torch.tensor([9, 9, 6, 2]))
    assert first is not None
    assert first.tolist() == [2, 2, 0, 1]
    assert (pool.stride, pool.fewest) == (3, 3)
