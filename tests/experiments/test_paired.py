"""Tables of the experiments: differences paired by seed, and forms of the navigator that resolve."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import ttest_rel  # type: ignore[import-untyped]

from copgen.runtime.settings import resolve
from copgen.stages.navigate.settings import NavigateSettings
from experiments import mnist, paired, table9
from experiments.mnist_setting import MNIST
from experiments.strips import strips_of

NONE = (0.70, 0.74, 0.69, 0.77)
OTHER = (0.72, 0.75, 0.72, 0.78)


def figures(top1: float, seed: int) -> dict[str, Any]:
    return {"seed": seed, "top1": top1, "few_labels": {"1": top1 - 0.3, "5": top1 / 2, "10": 0.5}}


def rows() -> dict[str, list[dict[str, Any]]]:
    return {
        "none": [figures(top1, seed) for seed, top1 in enumerate(NONE)],
        "other": [{**figures(top1, seed), "kept_share": 0.8} for seed, top1 in enumerate(OTHER)],
    }


def test_differences_are_those_of_a_paired_t_test() -> None:
    head, _, row = paired.differences(rows(), "none").splitlines()
    assert head == "| minus none | Top-1 | 1 label | 5 labels | 10 labels |"
    low, high = ttest_rel(OTHER, NONE).confidence_interval(0.95)
    middle, half = 50 * (high + low), 50 * (high - low)
    one, five = f"{middle:+.1f} ± {half:.1f}", f"{middle / 2:+.1f} ± {half / 2:.1f}"
    assert row == f"| other | {one} | {one} | {five} | +0.0 ± 0.0 |"


def test_rows_of_other_seeds_are_not_paired() -> None:
    changed = rows()
    changed["other"][0]["seed"] = 9
    with pytest.raises(ValueError, match="seeds of 'other'"):
        paired.differences(changed, "none")


def test_the_chart_has_a_dot_for_each_seed_in_each_panel() -> None:
    drawing = strips_of(rows(), "positives")
    assert sum(type(mark).__name__ == "Dot" for mark in drawing.marks) == 3 * (len(NONE) + len(OTHER))


@pytest.mark.parametrize("form", mnist.FORMS.values(), ids=list(mnist.FORMS))
def test_every_form_of_the_navigator_resolves(form: dict[str, Any]) -> None:
    flags = {**MNIST.generator, **MNIST.navigate, **table9.until(0.05), **form}
    resolved = resolve(NavigateSettings, "navigate", recipe=MNIST.recipe, flags=flags)
    assert {name: getattr(resolved, name) for name in form} == form
    assert resolved.stop == "delta"
