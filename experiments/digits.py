"""Table 9 at small scale (`make experiment-digits`): kinds of positives, evaluated by probes on real digits.

Rows: SimCLR on the real training images; on generated digits with T_z none, Gaussian, and COP-Gen. All rows train the
same encoder for the same number of updates with the same T_x. Hyperparameters (the Gaussian standard deviation;
COP-Gen's length, bound and learning rates) are chosen on the validation split with separate seeds; the five seeds of
the table are run once, and the navigator is trained from scratch for each.
"""

from __future__ import annotations

from typing import Any

from experiments.rows import NONE, REAL, Row, choose, gaussian, run_all, table, write
from experiments.setting import DIGITS

TABLE_SEEDS = (0, 1, 2, 3, 4)
GAUSSIAN_STDS = (0.05, 0.1, 0.2, 0.4)
UNTIL_005: dict[str, Any] = {"init_std": 0.01, "stop": "delta", "delta": 0.05, "delta_share": 0.5}
NAVIGATORS: dict[str, dict[str, Any]] = {
    "init 0.01, until d = 0.05": UNTIL_005,
    "init 0.01, until d = 0.03": {**UNTIL_005, "delta": 0.03},
    "init 0.01, until d = 0.1": {**UNTIL_005, "delta": 0.1},
    "init 0.01, until d = 0.05, as the authors' code": {**UNTIL_005, "update": "alternating", "anchors": "both"},
    "init 0.01, until d = 0.05, ten times the rate": {**UNTIL_005, "lr_navigator": 1e-3},
    "init 0.01, until d = 0.05, without T_x": {**UNTIL_005, "views": "none"},
    "init 0.01, until d = 0.2": {**UNTIL_005, "delta": 0.2},
    "init 0.01, until f turns": {"init_std": 0.01, "stop": "loss-turn"},
    "init 0.1, 20k samples": {"init_std": 0.1, "stop": "samples", "lr_navigator": 1e-5},
    "init 0.1, until d = 0.2": {**UNTIL_005, "init_std": 0.1, "delta": 0.2},
    "init 0.2, 20k samples": {"init_std": 0.2, "stop": "samples", "lr_navigator": 1e-5},
}


def optimal(name: str) -> Row:
    """A navigator with the named settings."""
    return Row(f"cop-gen {name}", sample={"transform": "optimal"}, navigate=NAVIGATORS[name])


def main() -> None:
    """Choose on validation, run the table, write `results/digits.md` and `results/digits.json`."""
    best_gaussian, gaussian_scores = choose(DIGITS, [gaussian(std) for std in GAUSSIAN_STDS])
    best_optimal, optimal_scores = choose(DIGITS, [optimal(name) for name in NAVIGATORS])
    rows = [REAL, NONE, best_gaussian, best_optimal]
    figures = run_all(DIGITS, [(row, seed) for row in rows for seed in TABLE_SEEDS])
    by_row = [(row.name, [f for f in figures if f["row"] == row.name]) for row in rows]
    document = {"validation": {**gaussian_scores, **optimal_scores}, "figures": figures}
    write("digits", table(by_row), document)


if __name__ == "__main__":
    main()
