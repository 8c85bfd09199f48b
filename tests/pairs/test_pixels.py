"""Images in [-1, 1] become bytes by the named rule, and bytes come back as themselves."""

from __future__ import annotations

import pytest
import torch

from copgen.pairs import Rounding, from_uint8, to_uint8
from copgen.runtime.errors import DataError, UsageError

ALL_LEVELS = torch.arange(256, dtype=torch.uint8)


@pytest.mark.parametrize("rounding", ["nearest", "truncate256"])
def test_every_byte_survives_the_way_there_and_back(rounding: Rounding) -> None:
    assert torch.equal(to_uint8(from_uint8(ALL_LEVELS), rounding=rounding), ALL_LEVELS)


def test_bytes_span_minus_one_to_one_exactly() -> None:
    images = from_uint8(ALL_LEVELS)
    assert images.dtype == torch.float32
    assert (float(images[0]), float(images[255])) == (-1.0, 1.0)
    exact = ALL_LEVELS.double() / 255 * 2 - 1
    assert float((images.double() - exact).abs().max()) <= 2 * torch.finfo(torch.float32).eps


def test_nearest_takes_halves_to_even() -> None:
    halves = (torch.tensor([0.5, 1.5, 2.5, 127.5]) / 255.0) * 2.0 - 1.0
    unit = (halves + 1.0) / 2.0 * 255.0
    is_half = unit == unit.floor() + 0.5  # where float32 keeps the half exactly
    assert bool(is_half.any())
    assert torch.equal(to_uint8(halves)[is_half], torch.tensor([0, 2, 2, 128], dtype=torch.uint8)[is_half])


def test_truncate256_is_the_integer_part() -> None:
    images = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    expected = [int(min(max((x + 1) / 2 * 256, 0), 255)) for x in images.float().tolist()]
    assert to_uint8(images, rounding="truncate256").tolist() == expected


def test_the_two_rules_differ_by_at_most_one_level() -> None:
    images = torch.linspace(-1, 1, 10_001)
    nearest, truncated = to_uint8(images).int(), to_uint8(images, rounding="truncate256").int()
    assert int((nearest - truncated).abs().max()) == 1


@pytest.mark.parametrize("rounding", ["nearest", "truncate256"])
def test_what_lies_outside_is_clipped(rounding: Rounding) -> None:
    images = torch.tensor([-1e9, -1.01, 1.01, 1e9])
    assert to_uint8(images, rounding=rounding).tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_byte_stands_for_what_is_not_finite(value: float) -> None:
    with pytest.raises(DataError, match="1 of 3 pixel values"):
        to_uint8(torch.tensor([0.0, value, 0.5]))


def test_an_unknown_rule_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="Did you mean 'nearest'"):
        to_uint8(torch.zeros(1), rounding="nearst")  # type: ignore[arg-type]
