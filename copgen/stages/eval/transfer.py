"""`copgen eval transfer`: one encoder, probes on the frozen features of several datasets, and `results.json`.

A dataset with one class for each image is scored by Top-1, with C selected on its validation split. VOC 2007 has
several: it is scored by the mean over classes of the 11-point average precision, with C selected for each class on
folds of trainval (voc07.py). The mean over the datasets is that of these scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from copgen.data.datasets import Images
from copgen.data.splits import SPLITS, Split
from copgen.data.voc_classification import find_voc07, is_voc, open_voc_classification
from copgen.encoders.encoder import encoder_file
from copgen.evaluation.logistic import Labelled, one_thread
from copgen.evaluation.logistic_cuda import solver
from copgen.evaluation.probes import ranked_probe
from copgen.evaluation.scores import scores
from copgen.evaluation.svm import COSTS, svm_probe
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import versions
from copgen.runtime.path_errors import path_errors
from copgen.stages.eval.finished_parts import FinishedParts
from copgen.stages.eval.finished_result import KEY, finished_result, key_of
from copgen.stages.eval.long_fits import announce_hours
from copgen.stages.eval.opening import (
    FORMAT,
    Opened,
    encoder_document,
    encoder_identity,
    open_splits,
    prepared,
    results_file,
)
from copgen.stages.eval.out_of_memory import memory_errors
from copgen.stages.eval.settings.transfer import EvalTransferSettings
from copgen.stages.eval.voc07 import Voc07, voc07_scores
from copgen.storage.files import sha256_of, write_json

KIND = "transfer"
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)  # of logistic regression


@path_errors()
@memory_errors
def eval_transfer(
    settings: EvalTransferSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Evaluate an encoder on several datasets, write `results.json`, and return its content.

    What is finished is kept in `finished.json` beside the results until all is; the same call resumes there.

    Args:
        settings: the encoder, the datasets, the probe.
        out: the folder for `results.json`; None: that of the settings, by default `eval/transfer` beside the encoder.
        overwrite: evaluate again; otherwise a finished result with the same settings, encoder and data is returned.
        events: receives progress, and a warning if a fit did not converge.

    Raises:
        UsageError: an unknown dataset, or one without classes or test split; images of another channel count.
        DataError: an encoder that fails verification, non-finite features, labels that do not fit, damaged VOC.
        EnvironmentFault: no such device, or a folder that is not writable.
    """
    events = events or Silent()
    opened = {name: _open(name, settings, out, events) for name in settings.datasets}
    file = results_file(settings, KIND, out)
    grid = sorted(settings.c_grid or (COSTS if settings.probe == "svm" else C_GRID))
    encoder = next(iter(opened.values()))[0].encoder
    document = encoder_document(encoder, sha256_of(encoder_file(settings.ckpt)))
    device = next(iter(opened.values()))[0].device.type
    decides = {
        **settings.model_dump(mode="json", include={"probe", "folds", "max_iterations", "seed", "convert_channels"}),
        "grid": grid,
        "encoder": encoder_identity(encoder, document["sha256"]),
        "data": {name: [data.preparation(), _inputs(data)] for name, (data, _) in opened.items()},
        "device": device,
        "versions": versions(),
    }
    key = key_of({**decides, "kind": KIND})
    if (result := finished_result(file, key, overwrite=overwrite, events=events)) is not None:
        return result
    finished = FinishedParts(file.parent, decides, events)
    if overwrite:
        finished.forget()
        finished = FinishedParts(file.parent, decides, events)
    found: dict[str, Any] = {}
    with one_thread():
        for name, (data, voc) in opened.items():
            measured = (
                finished(name, partial(_classified, data, settings, grid, events))
                if voc is None
                else voc07_scores(data, voc, settings, grid, finished, name=name, events=events)
            )
            found[name] = {**measured, "images": data.preparation(), "inputs": _inputs(data)}
            events.say(f"{name}: {measured['metric']} {100 * measured['score']:.1f} %.")
    if slow := [name for name, one in found.items() if not one["converged"]]:
        events.warn(f"Some fits on {', '.join(slow)} did not converge in max_iterations = {settings.max_iterations}.")
    result = {
        "format": FORMAT,
        "kind": f"eval-{KIND}",
        KEY: key,
        "seed": settings.seed,
        "probe": settings.probe,
        "mean": sum(one["score"] for one in found.values()) / len(found),
        "datasets": found,
        "c_grid": grid,
        "encoder": document,
        "device": device,
        "versions": versions(),
    }
    write_json(file, result)
    finished.forget()
    return result


def _open(
    name: str, settings: EvalTransferSettings, out: Path | str | None, events: Events
) -> tuple[Opened, Voc07 | None]:
    """A dataset with the encoder; of VOC also its labels."""
    if is_voc(name):
        year = find_voc07(name, root=settings.data_root)
        train, test = (open_voc_classification(year, split) for split in ("trainval", "test"))
        voc = Voc07.checked(train, test, where=year)
        images: dict[Split, Images] = {"train": train.images, "test": test.images}
        return prepared(settings, KIND, images, voc.classes, name=name, out=out, events=events), voc
    sources, classes = open_splits(name, root=settings.data_root, events=events)
    return prepared(settings, KIND, sources, classes, name=name, out=out, events=events), None


def _classified(data: Opened, settings: EvalTransferSettings, grid: Sequence[float], events: Events) -> dict[str, Any]:
    """The results of a dataset with one class for each image."""
    images = len(data.labels("train"))
    announce_hours(
        events,
        [(images, len(grid)), (images + len(data.labels("validation")), 1)],
        data=data,
        device="cpu" if settings.probe == "svm" else data.device.type,
        fix=f"Leave it out of --datasets, and run copgen eval linear --probe sgd --dataset {data.name}.",
    )
    parts = {split: Labelled(data.features(split).numpy(), data.labels(split).numpy()) for split in SPLITS}
    train, validation, test = (parts[split] for split in SPLITS)
    most = settings.max_iterations
    if settings.probe == "svm":
        probe, ranked = svm_probe(train, validation, test, costs=grid, max_iterations=most)
    else:
        fit = solver(data.device)
        probe, ranked = ranked_probe(train, validation, test, c_grid=grid, max_iterations=most, fit=fit)
    found = scores(torch.from_numpy(ranked), data.labels("test"), classes=len(data.classes))
    known = [value for value in found.per_class if value is not None]
    return {
        "metric": "Top-1",
        "score": found.top1,
        **found.document(data.classes),
        "mean_per_class": sum(known) / len(known),
        "C": probe.C,
        "selected_on": "validation",
        "validation_top1": list(probe.validation_top1),
        "converged": probe.converged,
        "classes": len(data.classes),
        "fitted_on": len(train) + len(validation),
        "tested_on": len(test),
    }


def _inputs(data: Opened) -> dict[str, str]:
    """Hashes of the data, by split."""
    return {f"{split} {name}": value for split, one in data.sources.items() for name, value in one.inputs.items()}
