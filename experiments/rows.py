"""Rows of a table: a kind of positives in a setting, from the navigator to the probes, one run for each seed.

Every run has its own folder below `runs/experiment-NAME`, so an interrupted experiment resumes, and experiments on the
same setting share the runs that they have in common.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from experiments.setting import Setting

RESULTS = Path(__file__).parent / "results"
CHOICE_SEEDS = (100, 101)


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


def run(setting: Setting, row: Row, seed: int) -> dict[str, Any]:
    """navigate, sample, pretrain and eval linear for one row and seed; returns the figures of its table row."""
    import torch

    torch.set_num_threads(1)
    import copgen
    from copgen.runtime.settings import resolve

    folder = setting.runs / re.sub(r"[^a-z0-9.]+", "-", row.name) / f"seed-{seed}"
    done = folder / f"{setting.of_variant('figures')}.json"
    encoder = folder / setting.of_variant("pretrain")
    if done.exists():
        return dict(json.loads(done.read_text("utf-8")))
    figures: dict[str, Any] = {"row": row.name, "seed": seed}
    resolved = partial(resolve, recipe=setting.recipe, config=None)
    if row.navigate is not None:
        flags = {**setting.generator, **setting.navigate, **row.navigate, "seed": seed}
        settings = resolved(copgen.NavigateSettings, "navigate", flags=flags)
        figures["navigate"] = copgen.navigate(settings, out=folder / "navigate")
    if row.sample is None:
        source: dict[str, Any] = {"dataset": setting.dataset}
    else:
        from_navigator = {"navigator": folder / "navigate"} if row.navigate is not None else {}
        flags = {**setting.generator, **row.sample, "n": setting.pairs, "seed": seed, **from_navigator}
        copgen.sample(resolved(copgen.SampleSettings, "sample", flags=flags), out=folder / "pairs")
        figures["kept_share"] = setting.kept_share(folder / "pairs")
        source = {"pairs": folder / "pairs"}
    flags = {**setting.pretrain, **row.pretrain, **source, "seed": seed}
    copgen.pretrain(resolved(copgen.PretrainSettings, "pretrain", flags=flags), out=encoder)
    probe = copgen.EvalLinearSettings(ckpt=encoder, dataset=setting.dataset, seed=0, **setting.linear)
    results = copgen.eval_linear(probe)
    figures |= {
        "top1": results["top1"],
        "nearest_neighbour": results["nearest_neighbour"]["top1"],
        "few_labels": {labels: probe["top1_mean"] for labels, probe in results["few_labels"].items()},
        "validation": mean(max(draw["validation_top1"]) for draw in results["few_labels"]["5"]["draws"]),
    }
    done.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return figures


def run_all(setting: Setting, jobs: Sequence[tuple[Row, int]]) -> list[dict[str, Any]]:
    """All jobs, one for each core at a time, each in its own process with one thread."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(int(os.environ.get("WORKERS", os.cpu_count() or 1)), mp_context=context) as pool:
        futures = [pool.submit(run, setting, row, seed) for row, seed in jobs]
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


def choose(setting: Setting, rows: Sequence[Row]) -> tuple[Row, dict[str, float]]:
    """The row with the best mean validation accuracy over the choice seeds, and all of these means."""
    figures = run_all(setting, [(row, seed) for row in rows for seed in CHOICE_SEEDS])
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


def write(name: str, table: str, document: Mapping[str, Any]) -> None:
    """Write `results/NAME.md` and `results/NAME.json`, and print the table."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(table, "utf-8")
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    print(table)
