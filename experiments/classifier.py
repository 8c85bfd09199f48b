"""A classifier of real images, which says whether a positive has its anchor's label."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

FITTED_ON = 10_000  # real images with labels, for the logistic regression


def train_classifier(setting: Setting, *, epochs: float) -> None:
    """Train its encoder, if it is not there: SupCon on the real images, otherwise as the setting's encoders."""
    import copgen

    learning = {name: value for name, value in setting.pretrain.items() if name != "updates"}
    settings = copgen.PretrainSettings(**{**learning, "dataset": setting.dataset, "method": "supcon", "epochs": epochs})
    copgen.pretrain(settings, out=encoder_of(setting))


def encoder_of(setting: Setting) -> Path:
    """The folder of its encoder."""
    return setting.runs / "classifier"


def labels_of(setting: Setting, images: Tensor) -> Any:
    """Labels (N,) of images (N, C, H, W): logistic regression on the encoder's features."""
    import torch

    encoder, model = _opened(encoder_of(setting), setting.dataset)
    with torch.no_grad():
        return model.predict(torch.cat([encoder(part) for part in torch.split(images, 512)]).numpy())


@cache
def _opened(folder: Path, dataset: str) -> tuple[Any, Any]:
    """The encoder, and logistic regression on its features of real images; fitted once per process."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from copgen.data.batches import batches
    from copgen.data.datasets import open_dataset
    from copgen.encoders.encoder import load_encoder

    encoder = load_encoder(folder)
    images = open_dataset(dataset, "train", root=None)
    assert images.labels is not None
    rows = rows_of(images.labels)
    with torch.no_grad():
        features = torch.cat([encoder(batch) for batch in batches(images, items=rows)])
    return encoder, LogisticRegression(max_iter=1000).fit(features.numpy(), images.labels[rows].numpy())


def rows_of(labels: Tensor) -> Tensor:
    """The real images that it is fitted on: the first; evenly spaced ones of images that are sorted by class."""
    import torch

    count = min(FITTED_ON, len(labels))
    is_sorted = bool((labels.diff() >= 0).all())  # the JPEG tars of CIFAR-10: the first would be of three classes
    return torch.arange(count) * len(labels) // count if is_sorted else torch.arange(count)
