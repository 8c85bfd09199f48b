"""How a pixel in [-1, 1] becomes a byte; `copgen.pairs.pixels` does it."""

from __future__ import annotations

from typing import Literal, get_args

Rounding = Literal["nearest", "truncate256"]
ROUNDINGS: tuple[str, ...] = get_args(Rounding)
