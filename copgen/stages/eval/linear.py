"""`copgen eval linear`: an encoder and labelled images in, `results.json` out.

The headline is Top-1 of the linear probe on the test split. On easy data that number saturates, so the nearest
neighbour and the probes on a few labels per class stand beside it.
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
from copgen.evaluation.features import extract
from copgen.evaluation.logistic import Labelled, one_thread
from copgen.evaluation.probes import few_label_probe, linear_probe, nearest_neighbour
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import resolve_device, versions
from copgen.stages.eval.settings import EvalLinearSettings
from copgen.storage.files import sha256_of, write_json

__all__ = ["EvalLinearSettings", "eval_linear", "results_file"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FORMAT = 1


def eval_linear(
    settings: EvalLinearSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Evaluate an encoder, write `results.json`, and return its content; equal inputs give equal bytes.

    Args:
        settings: what to evaluate, and on what.
        out: the folder for `results.json`; None goes by the settings, which take `eval/linear` beside the encoder.
        overwrite: as of every stage; results are replaced in any case, for equal inputs give equal ones.
        events: a listener; a warning is given when a fit did not converge.

    Raises:
        UsageError: an unknown dataset, or images of another size or channel count than the encoder's.
        DataError: an encoder that fails verification, or whose features are not finite.
        EnvironmentFault: no such device, or a folder that cannot be written.
    """
    events = events or Silent()
    images = {split: load_dataset(settings.dataset, split) for split in SPLITS}
    device = resolve_device(settings.device)
    encoder = encoders.load(settings.ckpt).to(device)
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
    """Where the results go: `out`, that of the settings, or `eval/linear` beside the encoder's file."""
    folder = Path(out or settings.out or encoder_file(settings.ckpt).parent / "eval" / "linear")
    return folder / "results.json"


def _probe(
    train: Labelled, validation: Labelled, test: Labelled, settings: EvalLinearSettings, events: Events
) -> dict[str, Any]:
    """All probes, each with the sizes of what it was fitted and tested on."""
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
        events.warn(f"Some fits stopped at {settings.max_iterations} iterations; the results say which.")
    return {
        "linear": {**asdict(linear), **everything},
        "nearest_neighbour": {"top1": neighbour, "similarity": "cosine", **everything},
        "few_labels": few,
    }


def _check_fit(encoder: encoders.Encoder, data: LabelledImages, dataset: str) -> None:
    """Features of images unlike those of training would be numbers without meaning."""
    channels, size = data.images.shape[1], data.images.shape[-1]
    config = encoder.config
    if (channels, size) != (config.in_channels, config.image_size):
        raise UsageError(
            f"The encoder was trained on images of {config.image_size} pixels with {config.in_channels} channels; "
            f"dataset '{dataset}' has {size} pixels and {channels} channels.",
            fix="Name another dataset or another encoder.",
        )
