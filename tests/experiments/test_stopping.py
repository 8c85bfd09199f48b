"""The experiment on stop rules: its settings resolve, and its table says what the runs say."""

from __future__ import annotations

from typing import Any

import pytest

from copgen.runtime.settings import resolve
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.names import RULES
from experiments import stopping


def figures(top1: float, kept: int) -> dict[str, Any]:
    few = dict.fromkeys(("1", "5", "10"), top1 - 0.1)
    return {"top1": top1, "few_labels": few, "kept_share": 0.9, "navigate": {"kept": kept}}


@pytest.mark.parametrize("comparison", stopping.COMPARISONS.values(), ids=list(stopping.COMPARISONS))
def test_every_rule_is_compared_and_resolves(comparison: stopping.Comparison) -> None:
    assert tuple(comparison.rules) == RULES[1:]
    setting = comparison.setting
    for row in (*map(comparison.fixed, comparison.budgets), *map(comparison.rule, comparison.rules)):
        assert row.navigate is not None
        flags = {**setting.generator, **setting.navigate, **row.navigate}
        resolved = resolve(NavigateSettings, "navigate", recipe=setting.recipe, flags=flags)
        assert resolved.stop == row.name.removeprefix("stop ").replace(f"fixed {resolved.samples}", "samples")
        assert resolved.samples % resolved.batch == 0


def test_half_the_spread_is_a_ratio_of_one_half() -> None:
    fixed = [0.9, 0.92, 0.88, 0.95, 0.85, 0.91]
    ratio, low, high = stopping.ratio_of_spreads([0.5 + value / 2 for value in fixed], fixed)
    assert (ratio, low, high) == pytest.approx((0.5, 0.5, 0.5))
    ratio, low, high = stopping.ratio_of_spreads([0.9, 0.9, 0.91, 0.9, 0.91, 0.9], fixed)
    assert low < ratio < high < 1.0


def test_the_table_has_a_row_for_each_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "measured", lambda one: {"Top-1": one["top1"]})
    fixed = [figures(0.9, 8960), figures(0.8, 8960), figures(0.85, 8960)]
    text = stopping.table(fixed, {"probe": [figures(0.86, 10_240), figures(0.84, 12_800), figures(0.85, 10_240)]})
    head, _, first, second = text.splitlines()
    assert head == "| stops | samples kept | Top-1 |"
    assert first == "| fixed budget | 8,960 | 85.0 ± 5.0 |"
    assert second.startswith("| `probe` | 11,093 | 85.0 ± 1.0; 0.20 [")
