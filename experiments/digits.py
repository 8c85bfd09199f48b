"""Table 9 at small scale (`make experiment-digits`): kinds of positives, evaluated by probes on real digits.

Rows: SimCLR on the real training images; on generated digits with T_z none, Gaussian, and COP-Gen. All rows train the
same encoder for the same number of updates with the same T_x. Hyperparameters (the Gaussian standard deviation;
COP-Gen's length, bound and learning rates) are chosen on the validation split with separate seeds; the five seeds of
the table are run once, and the navigator is trained from scratch for each.

Every run has its own folder under `runs/experiment-digits`, so an interrupted experiment can be resumed.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from copgen.evaluation.digits_classifier import DigitsClassifier

RUNS = Path("runs/experiment-digits")
RESULTS = Path(__file__).parent / "results"
TABLE_SEEDS = (0, 1, 2, 3, 4)
CHOICE_SEEDS = (100, 101)
PAIRS = 10_000
WORKERS = 2

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


@dataclass(frozen=True)
class Row:
    """One kind of positives: settings of navigate (or None), of sample (or None: real images)."""

    name: str
    sample: dict[str, Any] | None = None
    navigate: dict[str, Any] | None = None
    pretrain: dict[str, Any] = field(default_factory=dict)


REAL = Row("real images")
NONE = Row("none", sample={"transform": "none"})


def gaussian(std: float) -> Row:
    """z' = z + std * e."""
    return Row(f"gaussian {std:g}", sample={"transform": "gaussian", "std": std})


def optimal(name: str) -> Row:
    """A navigator with the named settings."""
    return Row(f"cop-gen {name}", sample={"transform": "optimal"}, navigate=NAVIGATORS[name])


def run(row: Row, seed: int) -> dict[str, Any]:
    """navigate, sample, pretrain and eval linear for one row and seed; returns the metrics of its table row."""
    import torch

    torch.set_num_threads(1)
    import copgen
    from copgen.runtime.settings import resolve

    folder = RUNS / re.sub(r"[^a-z0-9.]+", "-", row.name) / f"seed-{seed}"
    done = folder / "figures.json"
    if done.exists():
        return dict(json.loads(done.read_text("utf-8")))
    figures: dict[str, Any] = {"row": row.name, "seed": seed}
    if row.navigate is not None:
        flags = {**row.navigate, "seed": seed}
        settings = resolve(copgen.NavigateSettings, "navigate", recipe="digits", config=None, flags=flags)
        figures["navigate"] = copgen.navigate(settings, out=folder / "navigate")
    if row.sample is None:
        source: dict[str, Any] = {"dataset": "digits"}
    else:
        flags = {**row.sample, "n": PAIRS, "seed": seed, "navigator": folder / "navigate"}
        copgen.sample(
            resolve(copgen.SampleSettings, "sample", recipe="digits", config=None, flags=flags), out=folder / "pairs"
        )
        figures["kept_share"] = kept_share(folder / "pairs")
        source = {"pairs": folder / "pairs"}
    flags = {**row.pretrain, **source, "seed": seed}
    copgen.pretrain(
        resolve(copgen.PretrainSettings, "pretrain", recipe="digits", config=None, flags=flags), out=folder / "pretrain"
    )
    results = copgen.eval_linear(copgen.EvalLinearSettings(ckpt=folder / "pretrain", seed=0))
    figures |= {
        "top1": results["top1"],
        "nearest_neighbour": results["nearest_neighbour"]["top1"],
        "few_labels": {labels: probe["top1_mean"] for labels, probe in results["few_labels"].items()},
        "validation": mean(max(draw["validation_top1"]) for draw in results["few_labels"]["5"]["draws"]),
    }
    done.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return figures


def kept_share(pairs: Path) -> float:
    """The share of positives that the classifier of real digits assigns to their anchor's label."""
    from copgen.pairs import from_uint8, open_pairs

    anchors, positives = open_pairs(pairs, verify="quick").batch(range(2000))
    return judge().kept_share(from_uint8(anchors), from_uint8(positives))


@cache
def judge() -> DigitsClassifier:
    """The classifier of real digits, fitted once per process."""
    from copgen.evaluation.digits_classifier import fit_digits_classifier

    return fit_digits_classifier()


def run_all(jobs: Sequence[tuple[Row, int]]) -> list[dict[str, Any]]:
    """All jobs, two at a time, each in its own process with one thread."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        futures = [pool.submit(run, row, seed) for row, seed in jobs]
        results = []
        for (row, seed), future in zip(jobs, futures, strict=True):
            results.append(future.result())
            figures = results[-1]
            print(
                f"{row.name:28s} seed {seed:3d}  top1 {figures['top1']:.4f}  1-nn {figures['nearest_neighbour']:.4f}  "
                f"5 labels {figures['few_labels']['5']:.4f}  validation {figures['validation']:.4f}  "
                f"kept {figures.get('kept_share', math.nan):.3f}",
                flush=True,
            )
        return results


def choose(rows: Sequence[Row]) -> tuple[Row, dict[str, float]]:
    """The row with the best mean validation accuracy over the choice seeds, and all of these means."""
    figures = run_all([(row, seed) for row in rows for seed in CHOICE_SEEDS])
    scores = {row.name: mean(f["validation"] for f in figures if f["row"] == row.name) for row in rows}
    best = max(rows, key=lambda row: scores[row.name])
    return best, scores


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in percent."""
    return f"{100 * mean(values):.1f} ± {100 * stdev(values):.1f}"


def table(rows: Sequence[tuple[str, list[dict[str, Any]]]]) -> str:
    """The result as Markdown, mean ± standard deviation over seeds, in percent."""
    lines = [
        "| positives | Top-1, all labels | 1-NN | 1 label a class | 5 labels | 10 labels | label kept |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, figures in rows:
        cells = [spread([f["top1"] for f in figures]), spread([f["nearest_neighbour"] for f in figures])]
        cells += [spread([f["few_labels"][labels] for f in figures]) for labels in ("1", "5", "10")]
        cells.append(spread([f["kept_share"] for f in figures]) if "kept_share" in figures[0] else "100")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Choose on validation, run the table, write `results/digits.md` and `results/digits.json`."""
    best_gaussian, gaussian_scores = choose([gaussian(std) for std in GAUSSIAN_STDS])
    best_optimal, optimal_scores = choose([optimal(name) for name in NAVIGATORS])
    rows = [REAL, NONE, best_gaussian, best_optimal]
    figures = run_all([(row, seed) for row in rows for seed in TABLE_SEEDS])
    by_row = [(row.name, [f for f in figures if f["row"] == row.name]) for row in rows]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "digits.md").write_text(table(by_row), "utf-8")
    document = {"validation": {**gaussian_scores, **optimal_scores}, "figures": figures}
    (RESULTS / "digits.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    print(table(by_row))


if __name__ == "__main__":
    main()
