"""MNIST as a setting: 28x28 images of a small GAN, and a classifier of real ones.

The GAN is that of `copgen generator fit mnist`; its weights are beside this file. f and the encoders are the small
ResNet `digits` with the ImageNet stem, which brings 28x28 pixels to 7x7: training one takes a minute of one core.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = Path(__file__).parent / "weights" / "mnist-gan.safetensors"
FITTED_ON = 10_000  # real images with labels, for the classifier
ENCODER: dict[str, Any] = {"encoder": "digits", "stem": "imagenet", "projector": (64, 64), "views": "mnist"}
LEARNING: dict[str, Any] = {**ENCODER, "batch": 128, "temperature": 0.5, "optimizer": "adam", "lr": 1e-3}


def prepare() -> None:
    """Train the classifier's encoder, if it is not there: SupCon on the real images, two epochs."""
    import copgen

    settings = copgen.PretrainSettings(**{**LEARNING, "dataset": "mnist", "method": "supcon", "epochs": 2.0})
    copgen.pretrain(settings, out=MNIST.runs / "classifier")


def mnist_labels(images: Tensor) -> Any:
    """Labels (N,) of images (N, 1, 28, 28): logistic regression on the classifier's encoder."""
    import torch

    encoder, model = _classifier()
    with torch.no_grad():
        return model.predict(torch.cat([encoder(part) for part in torch.split(images, 512)]).numpy())


@cache
def _classifier() -> tuple[Any, Any]:
    """The encoder, and logistic regression on its features of real images; fitted once per process."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from copgen.data.batches import batches
    from copgen.data.datasets import open_dataset
    from copgen.encoders.encoder import load_encoder

    encoder = load_encoder(MNIST.runs / "classifier")
    images = open_dataset("mnist", "train", root=None)
    assert images.labels is not None
    with torch.no_grad():
        features = torch.cat([encoder(batch) for batch in batches(images, items=torch.arange(FITTED_ON))])
    return encoder, LogisticRegression(max_iter=1000).fit(features.numpy(), images.labels[:FITTED_ON].numpy())


MNIST = Setting(
    "mnist",
    dataset="mnist",
    recipe="gan",
    pairs=10_000,
    labels=mnist_labels,
    generator={"generator": "gan", "weights": WEIGHTS},
    navigate={
        **ENCODER,
        "samples": 20_480,
        "batch": 128,
        "temperature": 0.5,
        "lr_navigator": 1e-4,
        "lr_encoder": 1e-3,
        "init": "target_std",
        "init_std": 0.01,
    },
    pretrain={**LEARNING, "updates": 600},
    linear={"probe": "lbfgs", "c_grid": (1.0,)},
)
