"""Draws: the reference's bits, one row at a time or all at once, and the distribution that is promised."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.latents import draw_latents
from copgen.runtime import philox
from copgen.runtime.errors import UsageError

N = 200_000
PRIORS = [None, 0.3, 2.0, 8.0]


def plain(rows: philox.Rows, dim: int, threshold: float | None, *, seed: int = 3, scale: float = 1.0) -> Tensor:
    if threshold is None:
        drawn = philox.normal(seed, rows, dim, stream="latents")
    else:
        drawn = philox.truncated_normal(seed, rows, dim, stream="latents", threshold=threshold)
    return (drawn * scale).float()


@pytest.mark.parametrize("threshold", PRIORS)
@pytest.mark.parametrize("dim", [1, 3, 7, 119, 120, 127, 129, 784, 9001])
def test_every_bit_is_that_of_philox(
    built: None, device: torch.device, by_cuda: bool, dim: int, threshold: float | None
) -> None:
    rows = [0, 1, 5, 2**31 - 1, 2**31, 2**32 + 1, 2**62, *range(100, 150)]
    found = draw_latents(rows, dim=dim, seed=3, scale=1.3, threshold=threshold, device=device)
    expected = plain(rows, dim, threshold, scale=1.3)
    assert found.dtype == torch.float32
    if by_cuda:
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-6, atol=1e-6)
    else:
        assert torch.equal(found, expected)


@pytest.mark.parametrize("threshold", [None, 2.0])
def test_seeds_of_64_bits_and_streams_are_heard(built: None, device: torch.device, threshold: float | None) -> None:
    seeds = (0, 1, 2**63 + 5, 2**64 - 1)
    draws = [draw_latents(range(3), dim=5, seed=seed, threshold=threshold, device=device) for seed in seeds]
    draws.append(draw_latents(range(3), dim=5, seed=0, threshold=threshold, stream="other", device=device))
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 5
    for seed, draw in zip(seeds, draws, strict=False):
        torch.testing.assert_close(draw.cpu(), plain(range(3), 5, threshold, seed=seed), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("threshold", [None, 2.0])
def test_splits_orders_and_threads_do_not_change_a_bit(
    implementation: str, device: torch.device, threshold: float | None
) -> None:
    def draw(rows: philox.Rows) -> Tensor:
        return draw_latents(rows, dim=70, seed=3, threshold=threshold, device=device)

    whole = draw(range(3000))
    assert torch.equal(whole, torch.cat([draw(rows) for rows in (range(1), range(1, 999), range(999, 3000))]))
    order = [2999, 0, 4, 4, 1500]
    assert torch.equal(draw(order), whole[order])
    assert torch.equal(draw(torch.tensor(order)), whole[order])
    assert torch.equal(draw(range(0, 3000, 7)), whole[::7])
    assert torch.equal(draw(torch.arange(6000).reshape(-1, 2)[:, 0] // 2), whole)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(draw(range(3000)), whole)
    finally:
        torch.set_num_threads(threads)


def ks_distance(values: Tensor, cdf: Tensor) -> float:
    """The greatest distance of the values' distribution from the one whose function has the values `cdf`."""
    cdf = cdf.sort().values
    steps = torch.arange(len(values) + 1, dtype=torch.float64) / len(values)
    return float(torch.maximum((steps[1:] - cdf).abs(), (cdf - steps[:-1]).abs()).max())


@pytest.mark.parametrize("threshold", PRIORS)
def test_the_distribution_is_the_one_asked_for(
    implementation: str, device: torch.device, threshold: float | None
) -> None:
    e = draw_latents(range(N // 5), dim=5, seed=1, threshold=threshold, device=device).double().cpu().flatten()
    below = 0.0 if threshold is None else 0.5 * math.erfc(threshold / math.sqrt(2))
    cdf = (torch.special.ndtr(e) - below) / (1 - 2 * below)
    # The Kolmogorov-Smirnov distance beyond which one draw in a million lies.
    assert ks_distance(e, cdf) < math.sqrt(math.log(2e6) / (2 * N))
    assert threshold is None or float(e.abs().max()) <= threshold
    assert abs(float(e.mean())) < 5 * float(e.std()) / math.sqrt(N)
    if threshold is None:
        for power, moment, spread in ((2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
            assert abs(float((e**power).mean()) - moment) < 5 * math.sqrt(spread / N)


@pytest.mark.parametrize("threshold", [None, 2.0])
def test_neighbours_are_independent(implementation: str, device: torch.device, threshold: float | None) -> None:
    e = draw_latents(range(N // 4), dim=4, seed=1, threshold=threshold, device=device).double().cpu()
    for a, b in [(e[1:], e[:-1]), (e[2:], e[:-2]), (e[:, 1:], e[:, :-1]), (e[:, 2:], e[:, :-2])]:
        for power in (1, 2):
            pair = torch.stack((a.flatten() ** power, b.flatten() ** power))
            assert abs(float(torch.corrcoef(pair)[0, 1])) < 5 / math.sqrt(a.numel())


@pytest.mark.parametrize(("rows", "dim"), [(0, 5), (5, 0), (0, 0)])
def test_nothing_to_draw_is_an_empty_tensor(implementation: str, rows: int, dim: int) -> None:
    assert draw_latents(range(rows), dim=dim, seed=0).shape == (rows, dim)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": torch.zeros(3)}, "indices is a torch.float32 tensor"),
        ({"indices": torch.zeros(2, 2, dtype=torch.int64)}, r"tensor of shape \(2, 2\)"),
        ({"dim": -1}, "dim is -1"),
        ({"scale": math.inf}, "scale is inf"),
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"threshold": math.nan}, "threshold is nan"),
    ],
)
def test_what_cannot_be_meant_is_named(implementation: str, change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"indices": range(3), "dim": 2, "seed": 0, **change}
    with pytest.raises(UsageError, match=message):
        draw_latents(arguments.pop("indices"), **arguments)
