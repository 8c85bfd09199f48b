"""`copgen eval generator`: score a generator's images, or those of a pairs folder, against real ones (Table 8).

Every image is made or read once, and compared in each feature space. The features of real images are kept, so that
the next generator is compared with the same ones at no cost.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from copgen.evaluation.generation.class_score import SPLITS
from copgen.evaluation.generation.feature_chunks import Store
from copgen.evaluation.generation.manifolds import NEAREST, NEAREST_OF_DENSITY
from copgen.evaluation.generation.scoring import Scorer
from copgen.evaluation.spaces import FeatureSpace, check_space, open_space
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import resolve_device, versions
from copgen.runtime.path_errors import path_errors
from copgen.stages.eval.finished_result import KEY, finished_result, key_of
from copgen.stages.eval.generated import digest, identity, open_generated
from copgen.stages.eval.out_of_memory import memory_errors
from copgen.stages.eval.pairs_opening import beside_pairs
from copgen.stages.eval.real_images import open_real
from copgen.stages.eval.settings.generator import EvalGeneratorSettings
from copgen.storage.files import write_json

FORMAT = 1
SPEED = {"data_root", "out", "device", "batch", "workers", "cache"}  # not what results depend on
OUT = Path("runs/eval-generator")  # a folder for each generator, beside the features that they share


@path_errors()
@memory_errors
def eval_generator(
    settings: EvalGeneratorSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Score generated images, write `results.json`, and return its content.

    Args:
        settings: the generator or the pairs, the real images, the feature spaces.
        out: the folder for `results.json` and the features; None: that of the settings, by default
            `runs/eval-generator/NAME`, or `PAIRS-scores` beside a pairs folder, with features in `runs/eval-generator`.
        overwrite: evaluate again; otherwise a finished result with the same settings, generator and data is returned.
        events: receives progress, and warnings about few images.

    Raises:
        UsageError: an unknown generator, dataset or space; images of other channels; too few images.
        DataError: weights, a navigator, pairs or images that are missing or damaged.
        EnvironmentFault: weights or a package of a feature space are missing, or no such device.
    """
    events = events or Silent()
    device = resolve_device(settings.device)
    spaces = open_spaces(settings, device, events)
    generated = open_generated(settings, device)
    real = open_real(settings, generated, events)
    document = {
        "format": FORMAT,
        "kind": "eval-generator",
        "seed": settings.seed,
        "n": generated.count,
        "draws": settings.draws,
        "generated": generated.document(),
        "provenance": generated.provenance(),
        "dataset": real.document(),
        "device": device.type,
        "versions": versions(),
    }
    decides = {
        "settings": settings.model_dump(mode="json", exclude=SPEED),
        "images": [generated.key(name) for name in generated.sets],
        "spaces": [identity(space, device) for space in spaces],
    }
    file, key = results_file(settings, out), key_of({**document, **decides})
    if (finished := finished_result(file, key, overwrite=overwrite, events=events)) is not None:
        return finished
    features_folder = Path(out or settings.out or OUT) / "features"
    store = Store(features_folder if settings.cache else None, events)
    few = [space for space in spaces if min(generated.count, real.count) <= space.dim]
    for space in few:
        events.warn(
            f"{generated.count:,} generated and {real.count:,} real images are few for the {space.dim:,} dimensions of "
            f"{space.name}: its Fréchet distance is too large. Compare equal numbers of images only."
        )
    features = real.features(spaces, store)
    scorers = [
        Scorer(space, chunks, nearest_of=settings.nearest_of, device=device)
        for space, chunks in zip(spaces, features, strict=True)
    ]
    scores: dict[str, dict[str, Any]] = {}
    for name in generated.sets:
        keys = {digest({**generated.key(name), **identity(space, device)}): space for space in spaces}
        total = generated.count * settings.draws
        made = store.features(f"features of {name}", partial(generated.batches, name), total, keys)
        compared = zip(scorers, made, strict=True)
        scores[name] = {one.space.name: one.scores(chunks, generated.draws) for one, chunks in compared}
    if left := generated.unverified():
        events.warn(left)
    result = {
        **document,
        KEY: key,
        "scores": scores,
        "real_halves": {scorer.space.name: scorer.reference() for scorer in scorers},
        "spaces": {
            space.name: {"text": space.text, "dim": space.dim, "inputs": space.inputs, "few_images": space in few}
            for space in spaces
        },
        "protocol": {
            "nearest": NEAREST,
            "nearest_of_density": NEAREST_OF_DENSITY,
            "nearest_of": settings.nearest_of,
            "splits": SPLITS,
        },
    }
    write_json(file, result)
    return result


def results_file(settings: EvalGeneratorSettings, out: Path | str | None = None) -> Path:
    """The file of the results: in `out`, the settings' folder, the generator's, or `PAIRS-scores`."""
    usual = OUT / (settings.generator or "") if settings.pairs is None else beside_pairs(settings.pairs, "scores")
    return Path(out or settings.out or usual) / "results.json"


def open_spaces(settings: EvalGeneratorSettings, device: torch.device, events: Events) -> list[FeatureSpace]:
    """The feature spaces, all names checked before weights are read.

    Raises:
        UsageError: an unknown name, or one twice.
        EnvironmentFault, DataError: as `open_space`.
    """
    for name in settings.space:
        check_space(name)
    spaces = [open_space(name, device=device, events=events) for name in settings.space]
    for number, space in enumerate(spaces):
        if identity(space, device) in [identity(other, device) for other in spaces[:number]]:
            raise UsageError(f"The feature space '{space.name}' is given twice.", fix="Name each once.")
    return spaces
