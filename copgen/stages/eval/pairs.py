"""`copgen eval pairs`: the health of a pairs folder before training, `results.json` and a picture.

A random sample of pairs is read. Of each pair: do anchor and positive have the same label, how similar are they, and
how far apart are their latents? Of the anchors: how much do they differ? The verdict compares these with the thresholds
of the settings.

Legend: N pairs of the sample, D feature dimension.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.data.pairs_sample import PairsSample
from copgen.evaluation.pairs_health.agreement import agreement
from copgen.evaluation.pairs_health.measuring import Measured
from copgen.evaluation.pairs_health.spread import above_null, spread
from copgen.evaluation.pairs_health.verdict import not_judged, verdict
from copgen.pairs import provenance
from copgen.report.grid import save_picture
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import versions
from copgen.runtime.path_errors import path_errors
from copgen.stages.eval.finished_result import KEY, finished_result, key_of
from copgen.stages.eval.out_of_memory import memory_errors
from copgen.stages.eval.pairs_checks import checks_of
from copgen.stages.eval.pairs_measured import Found, measure
from copgen.stages.eval.pairs_opening import PARTS, Instruments, beside_pairs, instruments
from copgen.stages.eval.pairs_sheet import sheet
from copgen.stages.eval.settings.pairs import EvalPairsSettings
from copgen.storage.files import write_json

FORMAT, KIND, PICTURE = 1, "eval-pairs", "pairs.png"
SPEED = {"data_root", "out", "device", "batch", "workers", "cache"}  # not what results depend on


@path_errors()
@memory_errors
def eval_pairs(
    settings: EvalPairsSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Report the health of a pairs folder, write `results.json` and `pairs.png`, and return the content of the former.

    Args:
        settings: the pairs, the classifier, the measures, the thresholds.
        out: the folder of both files; None: that of the settings, by default `PAIRS-health` beside the pairs folder.
        overwrite: evaluate again; otherwise a finished result with the same settings, pairs and weights is returned.
        events: receives progress and messages.

    Raises:
        UsageError: an unknown measure, space or dataset; images that are too small; other channels than the encoder's.
        DataError: pairs or an encoder that fail verification; errors of the dataset as in `eval_linear`.
        EnvironmentFault: weights or a package are missing, no such device, or a folder that is not writable.
    """
    events = events or Silent()
    folder = results_folder(settings, out)
    sample = PairsSample(settings.pairs, n=settings.n, seed=settings.seed, events=events)
    tools = instruments(settings, sample.plan, folder=folder, events=events)
    decides = settings.model_dump(mode="json", exclude=SPEED)
    key = key_of({"kind": KIND, "settings": decides, "plan": sample.plan.digest, **tools.decides})
    whole = not overwrite and (folder / PICTURE).is_file()
    finished = finished_result(folder / "results.json", key, overwrite=not whole, events=events)
    if finished is not None:
        return finished
    tools = tools.fitted(folder / PARTS, events)
    found = measure(settings, sample, tools, parts=folder / PARTS, events=events)
    result = document(settings, sample, tools, found)
    checks = checks_of(result, sample.plan, settings.thresholds)
    result |= {
        KEY: key,
        "verdict": verdict(checks),
        "not_judged": not_judged(checks),
        "checks": [check.document() for check in checks],
    }
    main = found.similarities[0]
    picture = sheet(
        sample,
        main.pairs,
        main.similarity.name,
        rows=settings.rows,
        caption=lambda number: caption(tools, found, number),
    )
    save_picture(folder / PICTURE, picture)
    write_json(folder / "results.json", result)
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    return result


def results_folder(settings: EvalPairsSettings, out: Path | str | None = None) -> Path:
    """Where the results go: `out`, the settings' folder, or `PAIRS-health` beside the pairs folder."""
    return Path(out or settings.out or beside_pairs(settings.pairs, "health"))


def document(settings: EvalPairsSettings, sample: PairsSample, tools: Instruments, found: Found) -> dict[str, Any]:
    """`results.json`, without the verdict."""
    plan, known_d = sample.plan, found.d[~found.d.isnan()]
    names, numbers = classes_of(tools, found)
    labels = None
    if found.labels is not None and tools.judge is not None:
        told = agreement(*found.labels, classes=len(tools.judge.classes))
        labels = {
            "classifier": tools.judge.text,
            "accuracy_real": tools.judge.accuracy,
            "agreement": told.share,
            **{name: value for name, value in asdict(told).items() if name not in ("share", "per_class", "anchors")},
        }
    nearest = found.anchors.nearest
    return {
        "format": FORMAT,
        "kind": KIND,
        "seed": settings.seed,
        "pairs": {
            "folder": str(settings.pairs),
            "measured": len(sample),
            "of": plan.pairs,
            "positives": plan.positives,
            "image_shape": list(plan.image_shape),
            "image_format": plan.image_format,
        },
        "labels": labels,
        "similarity": {one.similarity.name: similarity_document(one) for one in found.similarities},
        "d": spread(known_d) if len(known_d) else None,
        "equal": share(found.equal),
        "repeated_positives": share(found.repeated) if plan.positives > 1 else None,
        "diversity": {
            "space": tools.space.name,
            "text": tools.space.text,
            "effective_rank": found.anchors.effective_rank,
            "most": found.anchors.most,
            "nearest": spread(nearest) if len(nearest) else None,
            "near_duplicates": share(found.anchors.near_duplicates) if len(nearest) else None,
            "duplicate_distance": settings.thresholds.duplicate_distance,
        },
        "classes_from": None if names is None else "classifier" if found.labels is not None else "metadata",
        "per_class": {} if names is None else per_class(names, numbers, found),
        "thresholds": settings.thresholds.model_dump(mode="json"),
        "provenance": provenance.of_folder(settings.pairs, plan),
        "inputs": {"pairs": plan.digest, **tools.inputs},
        "device": tools.device.type,
        "versions": versions(),
    }


def similarity_document(one: Measured) -> dict[str, Any]:
    """A similarity of the pairs, and its null level."""
    null = one.null
    return {
        "text": one.similarity.text,
        "pairs": spread(one.pairs),
        "null": spread(null) if len(null) else None,
        "above_null": above_null(one.pairs, null) if len(null) else None,
    }


def classes_of(tools: Instruments, found: Found) -> tuple[tuple[str, ...] | None, Tensor]:
    """The names of the anchors' classes, and the number of each pair's, -1 if unknown; (None, ...) if all are."""
    if found.labels is not None and tools.judge is not None:
        return tools.judge.classes, found.labels[0]
    names = tuple(sorted({name for name in found.classes if name is not None}, key=lambda name: (len(name), name)))
    place = {name: number for number, name in enumerate(names)}
    numbers = torch.tensor([-1 if name is None else place[name] for name in found.classes])
    return names or None, numbers


def per_class(names: tuple[str, ...], numbers: Tensor, found: Found) -> dict[str, dict[str, Any]]:
    """By class, of those with pairs in the sample: their number, and means."""
    values = found.similarities[0].pairs.double()
    classes: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        own = numbers == number
        if not bool(own.any()):
            continue
        d = found.d[own][~found.d[own].isnan()]
        duplicates = found.anchors.near_duplicates
        classes[name] = {
            "pairs": int(own.sum()),
            "agreement": None if found.labels is None else share((found.labels[0] == found.labels[1])[own]),
            "similarity": float(values[own].mean()),
            "d": float(d.mean()) if len(d) else None,
            "near_duplicates": share(duplicates[own]) if len(duplicates) else None,
        }
    return classes


def caption(tools: Instruments, found: Found, number: int) -> list[str]:
    """Lines below a pair of the picture: similarity, d, and labels."""
    lines = [f"{float(found.similarities[0].pairs[number]):.3f}"]
    if not math.isnan(d := float(found.d[number])):
        lines.append(f"d {d:.3f}")
    if found.labels is not None and tools.judge is not None:
        lines.append(" > ".join(tools.judge.classes[int(side[number])] for side in found.labels))
    elif (name := found.classes[number]) is not None:
        lines.append(name)
    return lines


def share(which: Tensor) -> float:
    """The share of True."""
    return float(which.double().mean())
