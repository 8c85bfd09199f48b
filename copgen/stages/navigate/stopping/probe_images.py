"""The labelled images of the rule `probe`: a few labels of the training split, and questions of the validation split.

Half of the images are labelled ones. If they are too few for all classes, a random part of the classes is asked; if
they are enough for several draws of labels, there are several. The images do not depend on the seed of the run, so
that runs of several seeds are asked the same. The test split is never read.

Legend: R draws, W classes, L labels of each class, N questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from copgen import generators, views
from copgen.data.batches import batches
from copgen.data.datasets import Images, needs_labels, open_dataset
from copgen.data.splits import Split, positions
from copgen.evaluation.labels import check_labels
from copgen.runtime import philox
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events
from copgen.stages.navigate.settings import NavigateSettings


@dataclass(frozen=True)
class ProbeImages:
    """Images as f sees them without augmentation.

    Attributes:
        text: what is asked, for the summary.
        labelled: (R, W, L, C, S, S).
        queries: (N, C, S, S).
        classes: (N,) int64, of the queries, 0 to W - 1.
        inputs: hashes of the data.
    """

    text: str
    labelled: Tensor
    queries: Tensor
    classes: Tensor
    inputs: dict[str, str]


def open_probe_images(
    settings: NavigateSettings, G: generators.Generator, T_x: views.Policy, *, device: torch.device, events: Events
) -> ProbeImages:
    """The images that every check of a run asks, on the device.

    Raises:
        UsageError, DataError, EnvironmentFault: no such dataset, none with classes, or fewer than two classes with as
            many training images as labels are needed.
    """
    name = str(settings.probe_on)

    def opened(split: Split) -> tuple[Images, Tensor]:
        images = open_dataset(name, split, root=settings.data_root, events=events)
        labels = needs_labels(images, name, "--probe-on").labels
        assert labels is not None
        return images, labels

    (train, labels), (validation, truth) = opened("train"), opened("validation")
    check_labels({"train": labels, "validation": truth}, train.classes, dataset=name)
    L, half = settings.probe_labels, settings.probe_images // 2
    asked = torch.bincount(truth, minlength=int(labels.max()) + 1) > 0
    enough = ((torch.bincount(labels, minlength=len(asked)) >= L) & asked).nonzero()[:, 0]
    if len(enough) < 2:
        raise UsageError(
            f"probe_labels = {L} needs two classes with {L} training images and one for validation; {name} has "
            f"{len(enough)}.",
            fix="Lower probe_labels, or choose another dataset with --probe-on.",
        )
    chosen = enough[philox.permutation(0, len(enough), stream="navigate/probe/classes")[: half // L]].sort().values
    of_each = torch.bincount(labels)[chosen]
    draws = max(1, min(half // (L * len(chosen)), int(of_each.min()) // L))
    order = philox.permutation(0, len(labels), stream="navigate/probe/labels")
    rows = torch.stack([order[labels[order] == c][: draws * L].view(draws, L) for c in chosen], dim=1)
    order = philox.permutation(0, len(truth), stream="navigate/probe/queries")
    order = order[torch.isin(truth[order], chosen)]
    queries = order[positions(truth[order]).argsort(stable=True)][:half].sort().values  # of each class as many

    def shown(images: Images, items: Tensor) -> Tensor:
        size = T_x.size or G.image_size
        found = batches(images, size=size, channels=G.channels, items=items.flatten(), device=device)
        return torch.cat([views.plain(x, T_x) for x in found])

    labelled = shown(train, rows)
    return ProbeImages(
        text=f"{L} labels of each of {len(chosen)} classes of {name}, {draws} times; {len(queries)} validation images",
        labelled=labelled.view(*rows.shape, *labelled.shape[1:]),
        queries=shown(validation, queries),
        classes=torch.searchsorted(chosen, truth[queries]).to(device),
        inputs={**train.inputs, **validation.inputs},
    )
