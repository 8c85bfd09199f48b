"""Philox 4x32-10: the published vectors, independence of rows, streams and seeds, and the distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from copgen.runtime import philox

N = 40_000
DRAWS: dict[str, Callable[..., Tensor]] = {
    "bits": philox.bits,
    "uniform": philox.uniform,
    "normal": philox.normal,
    "truncated_normal": philox.truncated_normal,
    "signs": philox.signs,
}


def ks_distance(values: Tensor, cdf: Callable[[Tensor], Tensor]) -> float:
    """The largest distance between the empirical distribution and `cdf`."""
    f = cdf(values.flatten().sort().values)
    steps = torch.arange(len(f) + 1, dtype=torch.float64) / len(f)
    return float(torch.maximum((f - steps[:-1]).abs(), (steps[1:] - f).abs()).max())


def ks_bound(n: int, p: float = 1e-4) -> float:
    """What a right distribution exceeds with probability p (Dvoretzky, Kiefer, Wolfowitz; Massart)."""
    return math.sqrt(math.log(2.0 / p) / (2.0 * n))


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_published_vectors(counter: str, key: str, expected: str) -> None:
    c0, c1, c2, c3 = (torch.tensor([int(word, 16)]) for word in counter.split())
    k0, k1 = (int(word, 16) for word in key.split())
    words = philox._philox((c0, c1, c2, c3), (k0, k1))
    assert [int(word) for word in words] == [int(word, 16) for word in expected.split()]


def test_the_words_of_a_row_come_from_its_number_and_the_key() -> None:
    key = philox.stream_key(5, "here")
    row = (7 << 32) + 11
    words = philox.bits(5, [row], 8, stream="here")[0]
    for block in range(2):
        counter = (torch.tensor([11]), torch.tensor([7]), torch.tensor([block]), torch.tensor([0]))
        expected = philox._philox(counter, (key & 0xFFFFFFFF, key >> 32))
        assert words[4 * block : 4 * block + 4].tolist() == [int(word) for word in expected]


@pytest.mark.parametrize("columns", [0, 1, 4, 6, 1001])
def test_the_words_are_the_same_with_the_native_operators_and_without(columns: int) -> None:
    rows = torch.tensor([0, 1, 2**31, 2**32 + 5, 2**62, *range(300)])
    for seed in (0, 1, 2, 3):  # keys with and without the sign bit
        plain = philox.plain_bits(rows, philox.stream_key(seed, "s"), columns)
        assert torch.equal(philox.bits(seed, rows, columns, stream="s"), plain)
        assert torch.equal(philox.bits(seed, rows.reshape(-1, 1)[::2, 0], columns, stream="s"), plain[::2])


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("columns", [1, 5, 64])
def test_a_row_does_not_depend_on_the_batch(name: str, columns: int) -> None:
    draw = DRAWS[name]
    whole = draw(3, range(20), columns, stream="s")
    assert whole.shape == (20, columns)
    split = torch.cat([draw(3, rows, columns, stream="s") for rows in (range(7), range(7, 8), range(8, 20))])
    assert torch.equal(whole, split)
    order = [19, 0, 4, 4, 11]
    assert torch.equal(draw(3, order, columns, stream="s"), whole[order])
    assert torch.equal(draw(3, torch.tensor(order), columns, stream="s"), whole[order])
    assert torch.equal(draw(3, range(0, 20, 3), columns, stream="s"), whole[::3])


@pytest.mark.parametrize("name", DRAWS)
def test_a_column_does_not_depend_on_the_number_of_columns(name: str) -> None:
    wide = DRAWS[name](3, range(6), 70, stream="s")
    for columns in (1, 2, 3, 33, 69):
        assert torch.equal(DRAWS[name](3, range(6), columns, stream="s"), wide[:, :columns])


@pytest.mark.parametrize("name", DRAWS)
def test_no_rows_give_an_empty_draw(name: str) -> None:
    assert DRAWS[name](3, range(0), 5, stream="s").shape == (0, 5)


@pytest.mark.parametrize("row", [0, 5, 2**31 - 1])
def test_rows_beyond_32_bits_differ_from_those_below(row: int) -> None:
    rows = [row, row + 2**32, row + 2**33, row + 2**62]
    words = philox.bits(0, rows, 4, stream="s")
    assert len({tuple(line.tolist()) for line in words}) == len(rows)


def test_words_are_32_bits_and_every_bit_is_balanced() -> None:
    words = philox.bits(1, range(N // 4), 4, stream="s")
    assert int(words.min()) >= 0
    assert int(words.max()) < 2**32
    share = torch.stack([((words >> bit) & 1).double().mean() for bit in range(32)])
    assert float((share - 0.5).abs().max()) < 5 * 0.5 / math.sqrt(N)


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1])


@pytest.mark.parametrize("other", [(0, "b"), (1, "a"), (2**63, "a"), (0, "a/"), (0, "")])
def test_seeds_and_streams_are_independent(other: tuple[int, str]) -> None:
    rows = range(N // 4)
    a = philox.uniform(0, rows, 4, stream="a")
    b = philox.uniform(other[0], rows, 4, stream=other[1])
    assert abs(correlation(a, b)) < 5 / math.sqrt(N)


def test_neighbouring_rows_and_columns_are_independent() -> None:
    u = philox.uniform(0, range(N // 4), 4, stream="a")
    for lag in (1, 2, 256):
        assert abs(correlation(u[lag:], u[:-lag])) < 5 / math.sqrt(N)
    for column in range(1, 4):
        assert abs(correlation(u[:, 0], u[:, column])) < 5 / math.sqrt(N / 4)


def test_the_seed_and_the_name_of_a_stream_do_not_run_into_each_other() -> None:
    keys = {philox.stream_key(seed, stream) for seed, stream in [(1, "1/a"), (11, "a"), (1, "a"), (-1, "a")]}
    assert len(keys) == 4
    assert all(0 <= key < 2**64 for key in keys)


def test_uniform() -> None:
    u = philox.uniform(0, range(N // 5), 5, stream="s")
    assert u.dtype == torch.float64
    assert ks_distance(u, lambda x: x) < ks_bound(N)


def test_uniform_is_open_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(philox, "bits", lambda *_, **__: torch.tensor([[0, 2**32 - 1]]))
    u = philox.uniform(0, range(1), 2, stream="s")
    assert float(u.min()) > 0.0
    assert float(u.max()) < 1.0


def test_the_largest_normal_is_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(philox, "bits", lambda *_, **__: torch.tensor([[0, 0, 2**32 - 1, 0]]))
    values = philox.normal(0, range(1), 4, stream="s")
    assert 6.7 < float(values.max()) < 6.8
    assert bool(torch.isfinite(values).all())


def test_normal() -> None:
    e = philox.normal(0, range(N // 5), 5, stream="s")
    assert e.dtype == torch.float64
    assert ks_distance(e, torch.special.ndtr) < ks_bound(N)
    # Standard errors of the first four moments of a standard normal: 1, sqrt 2, sqrt 15, sqrt 96, over sqrt N.
    for power, moment, spread in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert abs(float((e**power).mean()) - moment) < 4 * math.sqrt(spread / N)


def test_the_two_normals_of_a_pair_are_independent() -> None:
    e = philox.normal(0, range(N), 2, stream="s")
    assert abs(correlation(e[:, 0], e[:, 1])) < 5 / math.sqrt(N)
    assert abs(correlation(e[:, 0].square(), e[:, 1].square())) < 5 / math.sqrt(N)


@pytest.mark.parametrize("threshold", [0.3, 1.0, 2.0, 8.0])
def test_truncated_normal(threshold: float) -> None:
    e = philox.truncated_normal(0, range(N // 5), 5, stream="s", threshold=threshold)
    low = float(torch.special.ndtr(torch.tensor(-threshold, dtype=torch.float64)))
    assert float(e.abs().max()) <= threshold
    assert ks_distance(e, lambda x: (torch.special.ndtr(x) - low) / (1.0 - 2.0 * low)) < ks_bound(N)


def test_signs_are_balanced_and_independent() -> None:
    signs = philox.signs(0, range(N // 64), 64, stream="s")
    assert set(signs.flatten().tolist()) == {-1.0, 1.0}
    assert abs(float(signs.mean())) < 5 / math.sqrt(N)
    second_moment = signs.T @ signs / len(signs)
    assert float((second_moment - torch.eye(64)).abs().max()) < 6 / math.sqrt(len(signs))


@pytest.mark.parametrize("n", [0, 1, 2, 17, 1000])
def test_permutation_holds_every_number_once(n: int) -> None:
    order = philox.permutation(0, n, stream="s")
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(n))


def test_permutation_depends_on_seed_and_stream() -> None:
    orders = {tuple(philox.permutation(seed, 50, stream=s).tolist()) for seed in range(5) for s in ("a", "b")}
    assert len(orders) == 10
    assert torch.equal(philox.permutation(3, 50, stream="a"), philox.permutation(3, 50, stream="a"))


def test_permutation_has_no_preferred_places() -> None:
    orders = torch.stack([philox.permutation(seed, 5, stream="s") for seed in range(1000)])
    for place in range(5):
        counts = torch.bincount(orders[:, place], minlength=5)
        assert float((counts - 200).abs().max()) < 5 * math.sqrt(1000 * 0.2 * 0.8)


def test_sub_streams_drawn_in_one_go_are_those_drawn_one_by_one() -> None:
    parts = {"flip": 1, "crop": 40, "jitter": 6}
    together = philox.uniform_parts(7, range(5, 12), parts, stream="view")
    for part, columns in parts.items():
        assert torch.equal(together[part], philox.uniform(7, range(5, 12), columns, stream=f"view/{part}"))
