"""The verdict: ready, or the names of what failed."""

from __future__ import annotations

import pytest

from copgen.evaluation.pairs_health.verdict import Check, not_judged, verdict


@pytest.mark.parametrize(
    ("value", "at_least", "by_design", "ok"),
    [
        (0.7, True, False, True),
        (0.5, True, False, True),
        (0.4, True, False, False),
        (0.4, False, False, True),
        (0.6, False, False, False),
        (0.6, False, True, True),
        (None, True, False, None),
    ],
)
def test_a_check(value: float | None, at_least: bool, by_design: bool, ok: bool | None) -> None:
    check = Check("this", value, 0.5, at_least, "Do that.", by_design)
    assert check.ok is ok
    assert check.document()["ok"] is ok
    assert check.document()["side"] == ("at least" if at_least else "at most")


def test_the_verdict_names_what_failed_and_what_was_not_judged() -> None:
    good = Check("good", 1.0, 0.5, True, "")
    bad, worse = Check("bad", 0.0, 0.5, True, ""), Check("worse", 1.0, 0.5, False, "")
    unknown = Check("unknown", None, 0.5, True, "")
    assert verdict([good]) == "ready"
    assert verdict([good, unknown]) == f"ready (not judged: {unknown.name})"
    assert not_judged([good, unknown]) == [unknown.name]
    assert verdict([good, bad, unknown, worse]) == f"look at bad, worse (not judged: {unknown.name})"
