"""The names of the stop rules, and lists of them. Does not import torch, as the settings read it."""

from __future__ import annotations

from collections.abc import Iterable

from copgen.runtime.errors import unknown

SAMPLES, DELTA, BAND, LOSS_TURN = "samples", "delta", "band", "loss-turn"
PERCEPTUAL, PROBE = "perceptual", "probe"
RULES = (SAMPLES, DELTA, BAND, LOSS_TURN, PERCEPTUAL, PROBE)
FORMER = {"turn": LOSS_TURN}


def listed(rules: str | Iterable[str]) -> tuple[str, ...]:
    """The rules in a text such as 'delta,loss-turn' or a list, in the order of `RULES`.

    Without `samples`, which always holds.

    Raises:
        UsageError: an unknown rule.
    """
    given = rules.split(",") if isinstance(rules, str) else rules
    names = {FORMER.get(name.strip(), name.strip()) for name in given}
    for name in sorted(names):
        if name not in RULES:
            raise unknown("stop rule", name, RULES)
    return tuple(name for name in RULES[1:] if name in names)


def joined(rules: Iterable[str]) -> str:
    """The text that `listed` reads."""
    return ",".join(rules) or SAMPLES
