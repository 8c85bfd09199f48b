"""`copgen eval linear`: evaluate an encoder on labelled images, and write `results.json`.

The main result is the Top-1 accuracy of the linear probe on the test split: logistic regression for small data, SGD as
in the paper otherwise. It saturates on easy data, so the results for small data also have a nearest-neighbour
classifier and probes on a few labels per class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from copgen.data.splits import SPLITS
from copgen.evaluation.journal import Journal
from copgen.evaluation.logistic import SMALL, Fit, Labelled, one_thread
from copgen.evaluation.logistic_cuda import solver
from copgen.evaluation.probes import few_label_probe, nearest_neighbour, ranked_probe
from copgen.evaluation.scores import scores
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors
from copgen.stages.eval.finished_result import KEY, finished_result
from copgen.stages.eval.opening import Opened, opened, results_file
from copgen.stages.eval.out_of_memory import memory_errors
from copgen.stages.eval.settings.linear import EvalLinearSettings
from copgen.stages.eval.sgd import STATE, trained
from copgen.storage.files import write_json

__all__ = ["SMALL", "EvalLinearSettings", "eval_linear", "results_file"]

KIND = "linear"
PARTS = "fits.json"  # of an unfinished evaluation


@path_errors()
@memory_errors
def eval_linear(
    settings: EvalLinearSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Evaluate an encoder, write `results.json`, and return its content; deterministic to the byte.

    Args:
        settings: the encoder, the dataset, the probes.
        out: the folder for `results.json`; None: that of the settings, by default `eval/linear` beside the encoder.
        overwrite: evaluate again; otherwise a finished result with the same settings, encoder and data is returned.
        events: receives progress, a warning if a fit did not converge, and what was read from a foreign file.

    Raises:
        UsageError: an unknown dataset, or images of another channel count than the encoder's.
        DataError: an encoder that fails verification, non-finite features, labels that do not fit.
        EnvironmentFault: no such device, or a folder that is not writable.
        Diverged: every learning rate of the SGD probe.
    """
    events = events or Silent()
    data = opened(settings, KIND, out=out, events=events)
    file, key = results_file(settings, KIND, out), data.key(KIND)
    if (finished := finished_result(file, key, overwrite=overwrite, events=events)) is not None:
        return finished
    if kind_of_probe(data, settings) == "lbfgs":
        journal = Journal(file.with_name(PARTS), key, events)
        found = fitted(data, settings, events, journal)
    else:
        found = trained(data, settings, events, folder=file.parent)
    result = {**data.document("eval-linear"), KEY: key, **found}
    write_json(file, result)
    for unfinished in (STATE, PARTS):
        file.with_name(unfinished).unlink(missing_ok=True)
    return result


def kind_of_probe(data: Opened, settings: EvalLinearSettings) -> Literal["lbfgs", "sgd"]:
    """The probe asked for, or the one that suits the data.

    Raises:
        UsageError: lbfgs, with a setting that only sgd has.
    """
    of_sgd = {
        "protocol authors": settings.protocol == "authors",
        "augment crop": settings.augment == "crop",
        f"features {','.join(settings.features)}": settings.features != ("avgpool",),
    }
    asked = [name for name, given in of_sgd.items() if given]
    if settings.probe == "lbfgs" and asked:
        raise UsageError(f"--{asked[0]} belongs to the probe sgd.", fix="Pass --probe sgd.")
    if settings.probe != "auto":
        return settings.probe
    return "sgd" if asked or len(data.labels("train")) > SMALL else "lbfgs"


def fitted(data: Opened, settings: EvalLinearSettings, events: Events, journal: Journal) -> dict[str, Any]:
    """The results of logistic regression, fitted to convergence, and of the other probes."""
    parts = {split: Labelled(data.features(split).numpy(), data.labels(split).numpy()) for split in SPLITS}

    def document(ranked: np.ndarray) -> dict[str, Any]:
        return scores(torch.from_numpy(ranked), data.labels("test"), classes=len(data.classes)).document(data.classes)

    with one_thread():
        fit = solver(data.device)
        probes = _probe(parts["train"], parts["validation"], parts["test"], settings, fit, events, journal, document)
    return {
        "probe": "lbfgs",
        "selected_on": "validation",
        **probes,
        "c_grid": sorted(settings.c_grid),
    }


def _probe(
    train: Labelled,
    validation: Labelled,
    test: Labelled,
    settings: EvalLinearSettings,
    fit: Fit,
    events: Events,
    journal: Journal,
    document: Callable[[np.ndarray], dict[str, Any]],
) -> dict[str, Any]:
    """The results of all probes with the sizes of their training and test data, and the scores of the linear one."""
    fits: dict[str, Any] = {"c_grid": settings.c_grid, "max_iterations": settings.max_iterations, "fit": fit}
    everything = {"fitted_on": len(train) + len(validation), "tested_on": len(test)}
    few_labels = _possible(train, settings, events)

    def of_all_labels() -> dict[str, Any]:
        probe, ranked = ranked_probe(train, validation, test, **fits)
        return {"linear": asdict(probe), **document(ranked)}

    events.begin("eval linear", total=2 + len(few_labels), unit="probes")
    try:
        found = journal.part("linear", of_all_labels)
        linear = found["linear"]
        events.advance(1, {"top1": linear["top1"]})
        neighbour = nearest_neighbour(train + validation, test)
        events.advance(2, {"top1": neighbour})
        few: dict[str, Any] = {}
        converged = linear["converged"]
        for labels in few_labels:
            probe = few_label_probe(
                train,
                validation,
                test,
                labels_per_class=labels,
                draws=settings.label_draws,
                seed=settings.seed,
                part=journal.below(str(labels)),
                **fits,
            )
            sizes = {"fitted_on": labels * len(np.unique(train.labels)), "tested_on": len(test)}
            few[str(labels)] = {**asdict(probe), **sizes}
            converged = converged and all(draw.converged for draw in probe.draws)
            events.advance(2 + len(few), {"top1": probe.top1_mean})
    finally:
        events.end()
    if not converged:
        events.warn(f"Some fits did not converge in max_iterations = {settings.max_iterations}; the results say which.")
    return {
        **found,
        "linear": {**linear, **everything},
        "nearest_neighbour": {"top1": neighbour, "similarity": "cosine", **everything},
        "few_labels": few,
    }


def _possible(train: Labelled, settings: EvalLinearSettings, events: Events) -> Sequence[int]:
    """The numbers of labels per class; by default without those that a class does not have."""
    wanted, fewest = settings.labels_per_class, int(np.unique(train.labels, return_counts=True)[1].min())
    if "labels_per_class" in settings.model_fields_set or max(wanted, default=0) <= fewest:
        return wanted
    events.warn(f"A class has {fewest} training images; probes on more labels per class are left out.")
    return [labels for labels in wanted if labels <= fewest]
