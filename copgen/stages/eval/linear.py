"""`copgen eval linear`: evaluate an encoder on labelled images, and write `results.json`.

The main result is the Top-1 accuracy of the linear probe on the test split. It saturates on easy data, so the results
also have a nearest-neighbour classifier and probes on a few labels per class.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from copgen import encoders
from copgen.data.digits import LabelledImages, Split
from copgen.data.images import load_dataset
from copgen.encoders.encoder import encoder_file
from copgen.encoders.foreign import is_foreign
from copgen.evaluation.features import extract
from copgen.evaluation.logistic import Labelled, one_thread
from copgen.evaluation.probes import few_label_probe, linear_probe, nearest_neighbour
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import resolve_device, versions
from copgen.runtime.path_errors import path_errors
from copgen.stages.eval.settings import EvalLinearSettings
from copgen.storage.files import sha256_of, write_json

__all__ = ["EvalLinearSettings", "eval_linear", "results_file"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FORMAT = 1


@path_errors()
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
        overwrite: ignored, as existing results are always replaced; every stage has it.
        events: receives progress, a warning if a fit did not converge, and what was read from a foreign file.

    Raises:
        UsageError: an unknown dataset, or images of another size or channel count than the encoder's.
        DataError: an encoder that fails verification, or non-finite features.
        EnvironmentFault: no such device, or a folder that is not writable.
    """
    events = events or Silent()
    images = {split: load_dataset(settings.dataset, split) for split in SPLITS}
    device = resolve_device(settings.device)
    side = images["train"].images.shape[-1]  # a foreign file does not say the size of its training images
    encoder = encoders.load(settings.ckpt, arch=settings.arch, views=settings.views, image_size=side, events=events).to(
        device
    )
    _check_fit(encoder, images["train"], settings.dataset)

    data = {}
    for split in SPLITS:
        features = extract(encoder, images[split].images, batch_size=settings.batch)
        data[split] = Labelled(features.double().numpy(), images[split].labels.numpy())
    with one_thread():
        probes = _probe(data["train"], data["validation"], data["test"], settings, events)

    result = {
        "format": FORMAT,
        "kind": "eval-linear",
        "top1": probes["linear"]["top1"],
        **probes,
        "c_grid": sorted(settings.c_grid),
        "seed": settings.seed,
        "dataset": {
            "name": settings.dataset,
            "classes": len(np.unique(data["train"].labels)),
            "images": {split: len(data[split]) for split in SPLITS},
        },
        "encoder": {
            "sha256": sha256_of(encoder_file(settings.ckpt)),
            "config": encoder.config.model_dump(mode="json"),
            "feature_dim": encoder.feature_dim,
            "made_by": encoder.made_by,
        },
        "device": device.type,
        "versions": versions(),
    }
    write_json(results_file(settings, out), result)
    return result


def results_file(settings: EvalLinearSettings, out: Path | str | None = None) -> Path:
    """The file of the results: in `out`, the settings' folder, or `eval/linear` beside the encoder.

    A foreign file has a folder of its own, `eval/NAME/linear`, as a folder of downloads may hold several.
    """
    file = encoder_file(settings.ckpt)
    beside = file.parent / "eval" / (file.name if is_foreign(file) else "") / "linear"
    return Path(out or settings.out or beside) / "results.json"


def _probe(
    train: Labelled, validation: Labelled, test: Labelled, settings: EvalLinearSettings, events: Events
) -> dict[str, Any]:
    """The results of all probes, each with the sizes of its training and test data."""
    fits: dict[str, Any] = {"c_grid": settings.c_grid, "max_iterations": settings.max_iterations}
    everything = {"fitted_on": len(train) + len(validation), "tested_on": len(test)}
    events.begin("eval linear", total=2 + len(settings.labels_per_class), unit="probes")
    try:
        linear = linear_probe(train, validation, test, **fits)
        events.advance(1, {"top1": linear.top1})
        neighbour = nearest_neighbour(train + validation, test)
        events.advance(2, {"top1": neighbour})
        few: dict[str, Any] = {}
        converged = linear.converged
        for labels in settings.labels_per_class:
            probe = few_label_probe(
                train,
                validation,
                test,
                labels_per_class=labels,
                draws=settings.label_draws,
                seed=settings.seed,
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
        "linear": {**asdict(linear), **everything},
        "nearest_neighbour": {"top1": neighbour, "similarity": "cosine", **everything},
        "few_labels": few,
    }


def _check_fit(encoder: encoders.Encoder, data: LabelledImages, dataset: str) -> None:
    """Refuse images of another size or channel count than in training, whose features would be meaningless."""
    channels, size = data.images.shape[1], data.images.shape[-1]
    config = encoder.config
    if (channels, size) != (config.in_channels, config.image_size):
        raise UsageError(
            f"The encoder takes images of {config.image_size} pixels with {config.in_channels} channels; "
            f"dataset '{dataset}' has {size} pixels and {channels} channels.",
            fix="Choose another dataset or another encoder.",
        )
