"""Does a stop rule pay? `python -m experiments.stopping`: a fixed budget and each rule on digits, ten seeds each.

Every row trains a navigator, samples pairs, pretrains and evaluates as in experiments/digits.py, whose folders it
shares, so an interrupted experiment resumes. The fixed budget is the best of four on validation, with seeds of its own.
The question of the paper's appendix C.3 is the spread from run to run, so the table has, beside means, the ratio of
each rule's standard deviation to the fixed budget's, with a bootstrap interval over seeds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.digits import RESULTS, Row, choose, run_all, spread

SEEDS = tuple(range(10))
BUDGETS = (5_120, 8_960, 15_360, 20_480)  # samples; whole batches of 128
LONGEST = 40_960
DRAWS = 10_000
BASE: dict[str, Any] = {"init_std": 0.01, "samples": LONGEST, "checkpoint_every": 50, "check_every": 1_280}
RULES: dict[str, dict[str, Any]] = {
    "delta": {"delta": 0.05, "delta_share": 0.5},
    "band": {},
    "loss-turn": {},
    "perceptual": {},
    "probe": {"probe_on": "digits"},
}


def fixed(samples: int) -> Row:
    """A navigator of so many samples."""
    return _row(f"stop fixed {samples}", {"stop": "samples", "samples": samples})


def rule(name: str) -> Row:
    """A navigator that a rule stops, or the longest budget."""
    return _row(f"stop {name}", {"stop": name, **RULES[name]})


def _row(name: str, navigate: Mapping[str, Any]) -> Row:
    return Row(name, sample={"transform": "optimal"}, navigate={**BASE, **navigate})


def measured(figures: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of one run that are compared."""
    few = {f"{labels} labels": figures["few_labels"][labels] for labels in ("1", "5", "10")}
    return {"Top-1": figures["top1"], **few, "label kept": figures["kept_share"]}


def ratio_of_spreads(rule: Sequence[float], fixed: Sequence[float]) -> tuple[float, float, float]:
    """The ratio of two standard deviations over the same seeds, and its 95 % bootstrap interval.

    Seeds are drawn with replacement, the same for both, as a seed decides the start of both navigators.

    Args:
        rule, fixed: one number for each seed, in the same order; at least two.
    """
    values = np.asarray([rule, fixed], dtype=np.float64)
    drawn = np.random.default_rng(0).integers(0, values.shape[1], size=(DRAWS, values.shape[1]))
    of_rule, of_fixed = values[:, drawn].std(axis=2, ddof=1)
    ratios: npt.NDArray[np.float64] = of_rule[of_fixed > 0] / of_fixed[of_fixed > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return stdev(rule) / stdev(fixed), float(low), float(high)


def table(fixed: Sequence[Mapping[str, Any]], rules: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown: mean and standard deviation in percent over seeds, and the ratio of the standard deviations."""
    base = [measured(figures) for figures in fixed]
    names = list(base[0])
    lines = [f"| stops | samples kept | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]

    def kept(figures: Sequence[Mapping[str, Any]]) -> str:
        return f"{mean(one['navigate']['kept'] for one in figures):,.0f}"

    cells = [spread([one[name] for one in base]) for name in names]
    lines.append(f"| fixed budget | {kept(fixed)} | {' | '.join(cells)} |")
    for title, figures in rules.items():
        own, cells = [measured(one) for one in figures], []
        for name in names:
            values, others = [one[name] for one in own], [one[name] for one in base]
            ratio, low, high = ratio_of_spreads(values, others)
            cells.append(f"{spread(values)}; {ratio:.2f} [{low:.2f}, {high:.2f}]")
        lines.append(f"| `{title}` | {kept(figures)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Choose the budget, run all seeds, write `results/stopping.md` and `results/stopping.json`."""
    budget, scores = choose([fixed(samples) for samples in BUDGETS])
    rows = [budget, *map(rule, RULES)]
    figures = run_all([(row, seed) for row in rows for seed in SEEDS])
    by_row = {row.name: [one for one in figures if one["row"] == row.name] for row in rows}
    text = table(by_row[budget.name], {name: by_row[rule(name).name] for name in RULES})
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "stopping.md").write_text(text, "utf-8")
    document = {"budget": budget.name, "validation": scores, "figures": figures}
    (RESULTS / "stopping.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
