"""Linear Top-1 of each pretraining method on real images: `python -m benchmarks.pretrain_methods --dataset mnist`.

Each method trains the small ResNet `digits` on the training split, two views of each image. Its learning rate is chosen
among three by the validation split, in short runs with seed 0; then each seed trains from scratch and is evaluated once
on the test split by logistic regression on frozen features, whose strength is chosen on the validation split. Finished
runs are kept below --runs, and are not trained again.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import timing
from benchmarks.report import head, measuring, progress, table, written
from copgen import encoders
from copgen.data.batches import batches
from copgen.data.datasets import open_dataset
from copgen.data.splits import AnySplit
from copgen.evaluation.logistic import Labelled, choose, one_thread, top1
from copgen.runtime.philox import permutation
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.pretrain.stage import pretrain

METHODS = ("simclr", "supcon", "byol", "nnclr", "negft", "negft-inbatch")
RATES = (0.03, 0.1, 0.3)
C_GRID = (1e-3, 1e-2, 1e-1, 1.0)
DATA: dict[str, dict[str, Any]] = {
    "mnist": {"views": "mnist"},
    "cifar10": {"views": "simclr"},
}
PROBED = 10_000  # training images that the logistic regression is fitted on


def settings_of(dataset: str, method: str, lr: float, seed: int, *, updates: int, batch: int) -> PretrainSettings:
    """The settings of a run."""
    own: dict[str, Any] = {"temperature": 0.5} if method in ("simclr", "supcon", "negft-inbatch") else {}
    own |= {"queue": 4096} if method in ("nnclr", "negft") else {}
    fixed = {"encoder": "digits", "batch": batch, "updates": updates, "weight_decay": 1e-4, "device": "cpu"}
    fields = {"dataset": dataset, "method": method, "lr": lr, "seed": seed, **fixed, **own, **DATA[dataset]}
    return PretrainSettings.model_validate(fields)


def features(encoder: encoders.Encoder, dataset: str, split: AnySplit, most: int | None) -> Labelled:
    """Frozen features of a split, at most so many, always the same."""
    source = open_dataset(dataset, split)
    assert source.labels is not None
    items = permutation(0, len(source), stream="benchmarks/probe")[:most].sort().values
    with torch.no_grad():
        found = [encoder(x) for x in batches(source, items=items, batch=500)]
    return Labelled(torch.cat(found).double().numpy(), source.labels[items].numpy())


def probed(folder: Path, dataset: str) -> tuple[float, float]:
    """Accuracy on the validation and on the test split."""
    encoder = encoders.load(folder)
    train = features(encoder, dataset, "train", PROBED)
    validation, test = features(encoder, dataset, "validation", None), features(encoder, dataset, "test", None)
    validation, test = validation.standardised(train), test.standardised(train)
    with one_thread():
        chosen = choose(train.standardised(train), validation, c_grid=C_GRID, max_iterations=300)
        return max(chosen.validation_top1), top1(chosen.model, test)


def report(dataset: str, runs: Path, *, seeds: int, updates: int, tuning: int, batch: int) -> Iterator[str]:
    """The whole benchmark as markdown."""

    def trained(method: str, lr: float, seed: int, length: int) -> tuple[float, float]:
        progress(f"{dataset} {method} lr {lr} seed {seed}, {length} updates")
        folder = runs / dataset / f"{method}-{lr}-{seed}-{length}"
        pretrain(settings_of(dataset, method, lr, seed, updates=length, batch=batch), out=folder)
        return probed(folder, dataset)

    rows = []
    for method in METHODS:
        tried = {lr: trained(method, lr, 0, tuning)[0] for lr in RATES}
        best = max(tried, key=lambda lr: tried[lr])
        accuracies = [100 * trained(method, best, seed, updates)[1] for seed in range(seeds)]
        mean = statistics.mean(accuracies)
        spread = statistics.stdev(accuracies) if seeds > 1 else 0.0
        each = ", ".join(f"{value:.1f}" for value in accuracies)
        rows.append((method, best, f"{mean:.1f} ± {spread:.1f}", each))
    yield from head(f"Linear Top-1 of each method on {dataset}", timing.machine(torch.device("cpu"), ()))
    yield (
        f"Encoder `digits` (64 features), {updates:,} updates of {batch} images with T_x `{DATA[dataset]['views']}`; "
        f"Top-1 in % on the whole test split, logistic regression on {PROBED:,} training images; mean and standard "
        f"deviation over {seeds} seeds; the learning rate is chosen among {', '.join(map(str, RATES))} on the "
        f"validation split, in runs of {tuning} updates."
    )
    yield ""
    yield from table(("method", "lr", "Top-1", "each seed"), rows)


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=sorted(DATA), default="mnist")
    parser.add_argument("--runs", type=Path, default=Path("runs/pretrain-methods"), help="where runs are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--tuning", type=int, default=100, help="updates of the runs that choose the learning rate")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--out", type=Path, help="a file for the report; it is printed in any case")
    chosen = parser.parse_args(arguments)
    with measuring(threads=None):
        lengths = {"updates": chosen.updates, "tuning": chosen.tuning}
        lines = report(chosen.dataset, chosen.runs, seeds=chosen.seeds, batch=chosen.batch, **lengths)
        return written(lines, chosen.out)


if __name__ == "__main__":
    main()
