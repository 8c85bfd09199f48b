"""The verdict on pairs: what was compared with which threshold, and in a word whether they are ready for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

READY = "ready"


@dataclass(frozen=True)
class Check:
    """A value and its threshold.

    Attributes:
        name: in the verdict, such as 'label agreement'.
        value: None: unknown.
        threshold: in the unit of the value.
        at_least: whether the value has to be at least the threshold; False: at most.
        advice: what a value beyond it means, and what to do; for an unknown value how to get it.
        by_design: the value is beyond the threshold because of the kind of pairs, as their plan says.
    """

    name: str
    value: float | None
    threshold: float
    at_least: bool
    advice: str
    by_design: bool = False

    @property
    def ok(self) -> bool | None:
        """Whether the value keeps to the threshold, or is beyond it by design; None if it is unknown."""
        if self.value is None:
            return None
        kept = self.value >= self.threshold if self.at_least else self.value <= self.threshold
        return kept or self.by_design

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.name,
            "value": self.value,
            "threshold": self.threshold,
            "side": "at least" if self.at_least else "at most",
            "ok": self.ok,
            "by_design": self.by_design,
            "advice": None if self.ok and not self.by_design else self.advice,
        }


def verdict(checks: Sequence[Check]) -> str:
    """'ready', or 'look at ...' with the names of the checks that failed; then those that were not judged."""
    failed = [check.name for check in checks if check.ok is False]
    found = f"look at {', '.join(failed)}" if failed else READY
    unknown = not_judged(checks)
    return f"{found} (not judged: {', '.join(unknown)})" if unknown else found


def not_judged(checks: Sequence[Check]) -> list[str]:
    """The names of the checks without a value."""
    return [check.name for check in checks if check.ok is None]
