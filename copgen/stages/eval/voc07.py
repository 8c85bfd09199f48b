"""VOC 2007 in `copgen eval transfer`: a probe for each class, on several threads, and their mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from copgen.data.voc_classification import VocClassification
from copgen.evaluation.logistic import Labelled
from copgen.evaluation.multi_label import class_probe, prepared
from copgen.runtime.environment import own_cores
from copgen.runtime.errors import DataError
from copgen.runtime.events import Events
from copgen.stages.eval.finished_parts import FinishedParts
from copgen.stages.eval.opening import Opened
from copgen.stages.eval.settings.transfer import EvalTransferSettings

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Voc07:
    """The labels (N, C) of trainval and test: 1, -1, or 0 for difficult; and the names of the classes."""

    train: Labels
    test: Labels
    classes: tuple[str, ...]

    @classmethod
    def checked(cls, train: VocClassification, test: VocClassification, *, where: Path) -> Voc07:
        """Of the two sets.

        Raises:
            DataError: they have lists of other classes.
        """
        if other := sorted(set(train.classes) ^ set(test.classes)):
            raise DataError(
                f"{where / 'ImageSets' / 'Main'} has lists of {other[0]} for trainval or test alone.",
                fix="Extract both archives, trainval and test.",
            )
        return cls(train.labels.numpy(), test.labels.numpy(), train.classes)


def voc07_scores(
    data: Opened,
    voc: Voc07,
    settings: EvalTransferSettings,
    grid: Sequence[float],
    finished: FinishedParts,
    *,
    name: str,
    events: Events,
) -> dict[str, Any]:
    """The results of VOC; errors as `class_probe`.

    Args:
        data: the images; trainval is "train".
        voc: their labels.
        settings: of the evaluation.
        grid: C to choose from.
        finished: keeps the result of each class.
        name: of the dataset.
        events: receives the progress.
    """
    train, test = prepared(
        data.features("train").double().numpy(), data.features("test").double().numpy(), probe=settings.probe
    )

    def of_class(number: int) -> dict[str, Any]:
        def compute() -> dict[str, Any]:
            probe = class_probe(
                Labelled(train, voc.train[:, number]),
                Labelled(test, voc.test[:, number]),
                name=voc.classes[number],
                probe=settings.probe,
                costs=grid,
                folds=settings.folds,
                max_iterations=settings.max_iterations,
            )
            return asdict(probe)

        found: dict[str, Any] = finished(f"{name}: {voc.classes[number]}", compute)
        return found

    events.begin("eval transfer, voc07", total=len(voc.classes), unit="classes")
    threads = ThreadPoolExecutor(settings.workers or own_cores())
    try:
        jobs = {threads.submit(of_class, number): number for number in range(len(voc.classes))}
        probes: dict[int, dict[str, Any]] = {}
        for job in as_completed(jobs):
            probes[jobs[job]] = job.result()
            events.advance(len(probes), {})
    finally:
        threads.shutdown(cancel_futures=True)
        events.end()
    per_class = {name: probes[number] for number, name in enumerate(voc.classes)}
    mean = sum(one["ap"] for one in per_class.values()) / len(per_class)
    return {
        "metric": "mAP (11 points)",
        "score": mean,
        "map": mean,
        "map_area": sum(one["area"] for one in per_class.values()) / len(per_class),
        "per_class": {name: one["ap"] for name, one in per_class.items()},
        "probes": per_class,
        "selected_on": f"{settings.folds} folds of trainval",
        "difficult": "left out of training and test",
        "converged": all(one["converged"] for one in per_class.values()),
        "classes": len(per_class),
        "fitted_on": len(voc.train),
        "tested_on": len(voc.test),
    }
