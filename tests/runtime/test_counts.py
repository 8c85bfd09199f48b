"""Counts: exact in both directions, and refused when they cannot be meant."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copgen.runtime.counts import LARGEST, format_count, parse_count
from copgen.runtime.errors import ExitCode, UsageError


def test_every_thousandth_of_a_thousand_is_exact() -> None:
    wrong = [n for n in range(1, 1_000_000) if parse_count(f"{n // 1000}.{n % 1000:03d}k") != n]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1),
        ("200k", 200_000),
        ("200K", 200_000),
        ("1.3M", 1_300_000),
        ("1.3m", 1_300_000),
        ("1B", 10**9),
        ("1000b", LARGEST),
        ("0.001M", 1000),
        (".5k", 500),
        ("1.000", 1),
        ("1.0000000000000000000000000000000000000000k", 1000),
        ("007", 7),
        ("1,000", 1000),
        ("1,234,567", 1_234_567),
        ("1_000_000", 1_000_000),
        (" 20k\n", 20_000),
    ],
)
def test_accepted(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "k",
        ".",
        "1.",
        "1.k",
        "-1",
        "-0",
        "+1",
        "0",
        "0.0k",
        "0.0001",
        "0.0001k",
        "1.5",
        "1.0005k",
        "1.2345k",
        "1.0000000000000000000000000000000000000001k",
        "0.99999999999999999999999999999999999999999",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "1e3",
        "1e400",
        "0x10",
        "10 k",
        "1 000",
        "1kk",
        "1G",
        "1,3M",
        "1,00",
        ",100",
        "1,,000",
        "1_0",
        "1,000.5",
        "1001b",
        "1000000000001",
        "9" * 5000,
        "0." + "0" * 5000 + "1",
        "\u0661",
        "\uff11k",
        "\u00b2",
        "1\x00",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_count(text)
    assert caught.value.code is ExitCode.USAGE
    assert text in str(caught.value)


@given(st.integers(min_value=1, max_value=LARGEST))
def test_what_is_formatted_parses_back(n: int) -> None:
    assert parse_count(format_count(n)) == n


@given(st.integers(min_value=1, max_value=9999), st.sampled_from([10**2, 10**3, 10**5, 10**6, 10**8]))
def test_round_counts_come_back_too(n: int, factor: int) -> None:
    assert parse_count(format_count(n * factor)) == n * factor


@given(st.text(max_size=12))
def test_any_text_gives_a_count_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert 1 <= parse_count(text) <= LARGEST


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (1, "1"),
        (999, "999"),
        (1000, "1k"),
        (1050, "1,050"),
        (1500, "1.5k"),
        (200_000, "200k"),
        (1_300_000, "1.3M"),
        (1_234_567, "1,234,567"),
        (10**9, "1B"),
        (LARGEST, "1000B"),
    ],
)
def test_format(n: int, text: str) -> None:
    assert format_count(n) == text
