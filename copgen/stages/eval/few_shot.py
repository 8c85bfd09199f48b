"""`copgen eval few-shot`: linear probes on a few labels of each class, over several draws, and `results.json`.

Each draw fits logistic regression on its labels. C is chosen on the validation split, which keeps all of its labels.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from copgen.data.splits import SPLITS
from copgen.evaluation.few_labels import drawn, interval
from copgen.evaluation.journal import Journal
from copgen.evaluation.logistic import Labelled, one_thread
from copgen.evaluation.logistic_cuda import solver
from copgen.evaluation.probes import few_label_probe
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors
from copgen.stages.eval.finished_result import KEY, finished_result
from copgen.stages.eval.long_fits import announce_hours
from copgen.stages.eval.opening import opened, results_file
from copgen.stages.eval.out_of_memory import memory_errors
from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
from copgen.storage.files import write_json

KIND = "few-shot"
PARTS = "fits.json"  # of an unfinished evaluation


@path_errors()
@memory_errors
def eval_few_shot(
    settings: EvalFewShotSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Evaluate an encoder with few labels, write `results.json`, and return its content; deterministic to the byte.

    Args:
        settings: the encoder, the dataset, the numbers of labels.
        out: the folder for `results.json`; None: that of the settings, by default `eval/few-shot` beside the encoder.
        overwrite: evaluate again; otherwise a finished result with the same settings, encoder and data is returned.
        events: receives progress, and a warning if a fit did not converge.

    Raises:
        UsageError: a class has fewer training images than labels are asked for; as `eval_linear`.
        DataError, EnvironmentFault: as `eval_linear`.
    """
    events = events or Silent()
    data = opened(settings, KIND, out=out, events=events)
    file, key = results_file(settings, KIND, out), data.key(KIND)
    if (finished := finished_result(file, key, overwrite=overwrite, events=events)) is not None:
        return finished
    wanted: dict[str, dict[str, Any]] = (
        {f"{share:g}%": {"percent": share} for share in settings.percent}
        if settings.percent
        else {str(count): {"labels_per_class": count} for count in settings.labels}
    )
    train_labels = data.labels("train").numpy()
    fitted_on = {
        name: len(drawn(train_labels, **how, seed=settings.seed, draw=0)) for name, how in wanted.items()
    }  # refuses too many labels before features are extracted
    announce_hours(
        events,
        [(images, settings.draws * len(settings.c_grid)) for images in fitted_on.values()],
        data=data,
        device=data.device.type,
        fix="Ask for fewer labels, or set a shorter c_grid; copgen eval linear --probe sgd takes all labels.",
    )
    train, validation, test = (Labelled(data.features(split).numpy(), data.labels(split).numpy()) for split in SPLITS)
    journal = Journal(file.with_name(PARTS), key, events)
    few: dict[str, Any] = {}
    converged = True
    events.begin("eval few-shot", total=len(wanted), unit="probes")
    try:
        with one_thread():
            for name, how in wanted.items():
                probe = few_label_probe(
                    train,
                    validation,
                    test,
                    **how,
                    draws=settings.draws,
                    seed=settings.seed,
                    c_grid=settings.c_grid,
                    max_iterations=settings.max_iterations,
                    fit=solver(data.device),
                    part=journal.below(name),
                )
                few[name] = {
                    **asdict(probe),
                    "interval95": interval([draw.top1 for draw in probe.draws]),
                    "fitted_on": fitted_on[name],
                    "tested_on": len(test),
                }
                converged = converged and all(draw.converged for draw in probe.draws)
                events.advance(len(few), {"top1": probe.top1_mean})
    finally:
        events.end()
    if not converged:
        events.warn(f"Some fits did not converge in max_iterations = {settings.max_iterations}; the results say which.")
    result = {
        **data.document("eval-few-shot"),
        KEY: key,
        "few_shot": few,
        "selected_on": "validation",
        "c_grid": sorted(settings.c_grid),
    }
    write_json(file, result)
    journal.remove()
    return result
