"""Parses and formats counts such as 200k, 1.3M, 1B, exactly."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext

from copgen.runtime.errors import UsageError

_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
# Commas and underscores group digits by three: "1,3M" is not 13M.
_PATTERN = re.compile(r"((?:[0-9]{1,3}(?:[,_][0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)([kKmMbB]?)")
LARGEST = 10**12


def parse_count(text: str) -> int:
    """A whole number of at least 1 from '200k', '1.3M', '1B', '1,000' or '1000', by decimal arithmetic.

    Raises:
        UsageError: not a number, not whole ('1.0005k'), zero, negative, or above 10**12.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"'{text}' is not a count.", fix="Pass a whole number, such as 20000, 20k or 1.3M.")
    with localcontext(prec=len(text) + 10):  # enough for the product to be exact
        value = Decimal(match[1].replace(",", "").replace("_", "")) * _FACTORS[match[2].lower()]
    if value > LARGEST:
        raise UsageError(f"'{text}' is above {LARGEST:,}, the largest count.")
    if value != int(value):
        raise UsageError(f"'{text}' is {value:f}, which is not a whole number.")
    if value < 1:
        raise UsageError(f"'{text}' is not a count.", fix="It must be at least 1.")
    return int(value)


def format_count(n: int) -> str:
    """The shortest exact form: 200000 -> '200k', 1300000 -> '1.3M', 1234567 -> '1,234,567'."""
    for suffix, factor in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if n >= factor and n * 10 % factor == 0:
            return f"{Decimal(n) / factor:f}{suffix}"
    return f"{n:,}"
