"""Does a stop rule pay? `python -m experiments.stopping [digits|mnist]`: a fixed budget and each rule, ten seeds each.

Every row trains a navigator, samples pairs, pretrains and evaluates as in experiments/digits.py, whose folders it
shares, so an interrupted experiment resumes. The fixed budget is the best of four on validation, with seeds of its own.
The question of the paper's appendix C.3 is the spread from run to run, so the table has, beside means, the ratio of
each rule's standard deviation to the fixed budget's, with a bootstrap interval over seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from copgen.report.grid import save_picture
from copgen.report.page.raster import picture
from experiments.mnist_setting import MNIST, prepare
from experiments.paired import measured
from experiments.rows import RESULTS, Row, choose, run_all, spread, write
from experiments.setting import DIGITS, Setting
from experiments.strips import strips_of

SEEDS = tuple(range(10))
DRAWS = 10_000


@dataclass(frozen=True)
class Comparison:
    """The fixed budgets and the rules that are compared in a setting.

    Attributes:
        budgets: samples of each fixed budget; whole batches.
        base: settings of every navigator; its `samples` are the longest that a rule may take.
        rules: settings of each rule.
    """

    setting: Setting
    budgets: tuple[int, ...]
    base: Mapping[str, Any]
    rules: Mapping[str, Mapping[str, Any]]

    def fixed(self, samples: int) -> Row:
        """A navigator of so many samples."""
        return self._row(f"stop fixed {samples}", {"stop": "samples", "samples": samples})

    def rule(self, name: str) -> Row:
        """A navigator that a rule stops, or the longest budget."""
        return self._row(f"stop {name}", {"stop": name, **self.rules[name]})

    def _row(self, name: str, navigate: Mapping[str, Any]) -> Row:
        return Row(name, sample={"transform": "optimal"}, navigate={**self.base, **navigate})


COMPARISONS = {
    "digits": Comparison(
        DIGITS,
        budgets=(5_120, 8_960, 15_360, 20_480),
        base={"init_std": 0.01, "samples": 40_960, "checkpoint_every": 50, "check_every": 1_280},
        rules={
            "delta": {"delta": 0.05, "delta_share": 0.5},
            "band": {},
            "loss-turn": {},
            "perceptual": {},
            "probe": {"probe_on": "digits"},
        },
    ),
    "mnist": Comparison(
        MNIST,
        budgets=(2_560, 5_120, 10_240, 20_480),
        base={"samples": 20_480, "checkpoint_every": 50, "check_every": 1_280},
        rules={
            "delta": {"delta": 0.05, "delta_share": 0.5},
            "band": {"prior_std": 0.1},
            "loss-turn": {},
            "perceptual": {},
            "probe": {"probe_on": "mnist"},
        },
    ),
}


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


def compare(comparison: Comparison) -> tuple[str, dict[str, Any]]:
    """Choose the budget, run all seeds; the table, and all figures."""
    setting = comparison.setting
    budget, scores = choose(setting, [comparison.fixed(samples) for samples in comparison.budgets])
    rows = [budget, *map(comparison.rule, comparison.rules)]
    figures = run_all(setting, [(row, seed) for row in rows for seed in SEEDS])
    by_row = {row.name: [one for one in figures if one["row"] == row.name] for row in rows}
    text = table(by_row[budget.name], {name: by_row[comparison.rule(name).name] for name in comparison.rules})
    return text, {"budget": budget.name, "validation": scores, "figures": figures}


def main() -> None:
    """Write `results/stopping-SETTING.md` and `results/stopping-SETTING.json`."""
    parser = argparse.ArgumentParser(prog="python -m experiments.stopping")
    parser.add_argument("setting", nargs="?", choices=tuple(COMPARISONS), default="digits")
    name: str = parser.parse_args().setting
    if name == "mnist":
        prepare()
    text, document = compare(COMPARISONS[name])
    write(f"stopping-{name}", text, document)
    rows = {
        title.removeprefix("stop "): [one for one in document["figures"] if one["row"] == title]
        for title in dict.fromkeys(one["row"] for one in document["figures"])
    }
    label = "Accuracy and labels kept of each seed, for each way to stop the navigator"
    save_picture(RESULTS / f"stopping-{name}.png", picture(strips_of(rows, label)))


if __name__ == "__main__":
    main()
