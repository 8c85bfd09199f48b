"""Table 9 of the paper in a setting: kinds of positives, chosen on the validation split, compared seed by seed.

The Gaussian and each form of COP-Gen that is searched have equal numbers of candidates, which are compared by one rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from copgen.report.grid import save_picture
from copgen.report.page.raster import picture
from experiments.paired import differences
from experiments.rows import NONE, REAL, RESULTS, Row, choose, gaussian, run_all, table, write
from experiments.setting import Setting
from experiments.strips import strips_of

SEEDS = (0, 1, 2, 3, 4)
GAUSSIAN_STDS = (0.05, 0.1, 0.2, 0.4)
DELTAS = (0.02, 0.05, 0.1, 0.2)


def until(delta: float, **changes: Any) -> dict[str, Any]:
    """Settings of a navigator that ends where half of a batch reaches delta."""
    return {"stop": "delta", "delta": delta, "delta_share": 0.5, **changes}


def optimal(name: str, navigate: dict[str, Any]) -> Row:
    """A navigator with these settings."""
    return Row(f"cop-gen {name}", sample={"transform": "optimal"}, navigate=navigate)


def candidates(form: str = "", **changes: Any) -> list[Row]:
    """A navigator of this form for every delta."""
    return [optimal(f"{form}until d = {delta:g}", until(delta, **changes)) for delta in DELTAS]


def table9(
    setting: Setting,
    forms: Mapping[str, dict[str, Any]],
    *,
    searched: Mapping[str, dict[str, Any]] | None = None,
    seeds: Sequence[int] = SEEDS,
) -> None:
    """Choose on validation, run the table, write `results/NAME.md`, `results/NAME.json` and `results/NAME.png`.

    Args:
        setting: of the experiment; NAME is that of its results.
        forms: by name, changes of the chosen COP-Gen row, each a row of its own.
        searched: by name, changes of the navigator whose delta is chosen for themselves.
        seeds: of every row.
    """
    best_gaussian, scores = choose(setting, [gaussian(std) for std in GAUSSIAN_STDS])
    best, found = choose(setting, candidates())
    rows, scores = [REAL, NONE, best_gaussian, best], {**scores, **found}
    for form, changes in (searched or {}).items():
        row, found = choose(setting, candidates(f"{form}, ", **changes))
        rows, scores = [*rows, row], {**scores, **found}
    assert best.navigate is not None
    rows += [optimal(name, {**best.navigate, **change}) for name, change in forms.items()]
    figures = run_all(setting, [(row, seed) for seed in seeds for row in rows])
    by_row = {row.name: [one for one in figures if one["row"] == row.name] for row in rows}
    of_gaussian = {name: by_row[name] for name in by_row if name not in (REAL.name, NONE.name)}
    text = (table(list(by_row.items())), differences(by_row, NONE.name), differences(of_gaussian, best_gaussian.name))
    name = setting.results
    write(name, "\n".join(text), {"validation": scores, "figures": figures})
    label = "Accuracy and labels kept of each seed, for each kind of positives"
    save_picture(RESULTS / f"{name}.png", picture(strips_of(by_row, label)))
