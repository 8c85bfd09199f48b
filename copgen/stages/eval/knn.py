"""`copgen eval knn`: classify test images by their nearest training images, and write `results.json`.

The neighbours vote with weight exp(cosine / temperature). The number of neighbours of the main result is chosen on
validation, with the training images as the bank; test images are then compared with training and validation images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.data.splits import Split
from copgen.evaluation.neighbours import knn_ranked, unit_
from copgen.evaluation.parts import Parts
from copgen.evaluation.scores import scores
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors
from copgen.stages.eval.finished_result import KEY, finished_result
from copgen.stages.eval.opening import SHOWN_FROM, opened, results_file
from copgen.stages.eval.out_of_memory import memory_errors
from copgen.stages.eval.settings.knn import EvalKnnSettings
from copgen.storage.files import write_json

KIND = "knn"


@path_errors()
@memory_errors
def eval_knn(
    settings: EvalKnnSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Evaluate an encoder by its nearest neighbours, write `results.json`, and return its content.

    Args:
        settings: the encoder, the dataset, the numbers of neighbours.
        out: the folder for `results.json`; None: that of the settings, by default `eval/knn` beside the encoder.
        overwrite: evaluate again; otherwise a finished result with the same settings, encoder and data is returned.
        events: receives progress and messages.

    Raises:
        UsageError, DataError, EnvironmentFault: as `eval_linear`.
    """
    events = events or Silent()
    data = opened(settings, KIND, out=out, events=events)
    file, key = results_file(settings, KIND, out), data.key(KIND)
    if (finished := finished_result(file, key, overwrite=overwrite, events=events)) is not None:
        return finished
    ks = sorted(set(settings.ks))
    classes = len(data.classes)
    how: dict[str, Any] = {"ks": ks, "classes": classes, "temperature": settings.temperature, "normalized": True}
    # The bank is the largest tensor by far: training images, then those of validation, without copies of either.
    bank = unit_(torch.cat([data.features(split) for split in ("train", "validation")]).to(data.device))
    test = unit_(data.features("test").to(data.device))
    labels = {split: data.labels(split) for split in ("train", "validation", "test")}

    def ranked(split: Split, bank: Tensor, bank_labels: Tensor, queries: Tensor) -> dict[int, Tensor]:
        """The votes for the images of a split; a large one resumes after a stop, and has a progress bar."""
        parts = Parts(file.with_name(f"{split}.parts"), f"{key} {split}")
        shown = events if len(queries) >= SHOWN_FROM else Silent()
        shown.begin(f"neighbours of {split}", total=len(queries), unit="images")
        try:
            return knn_ranked(
                bank, bank_labels, queries, **how, parts=parts, progress=lambda done: shown.advance(done, {})
            )
        finally:
            shown.end()

    train = len(labels["train"])
    held_out = ranked("validation", bank[:train], labels["train"], bank[train:])
    chosen = {k: scores(found, labels["validation"], classes=classes).top1 for k, found in held_out.items()}
    best = max(ks, key=lambda k: (chosen[k], -k))
    bank_labels = torch.cat((labels["train"], labels["validation"]))
    of_test = ranked("test", bank, bank_labels, test)
    found = {k: scores(one, labels["test"], classes=classes) for k, one in of_test.items()}
    result = {
        **data.document("eval-knn"),
        KEY: key,
        **found[best].document(data.classes),
        "k": best,
        "selected_on": "validation",
        "knn": {str(k): {"top1": found[k].top1, "top5": found[k].top5, "validation_top1": chosen[k]} for k in ks},
        "temperature": settings.temperature,
        "similarity": "cosine",
        "bank": len(bank_labels),
        "tested_on": len(labels["test"]),
    }
    write_json(file, result)
    for split in ("validation", "test"):
        Parts(file.with_name(f"{split}.parts"), "").remove()
    return result
