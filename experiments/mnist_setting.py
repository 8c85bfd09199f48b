"""MNIST as a setting: 28x28 images of a small GAN, and a classifier of real ones.

The GAN is that of `copgen generator fit mnist`; its weights are beside this file. f and the encoders are the small
ResNet `digits` with the ImageNet stem, which brings 28x28 pixels to 7x7: training one takes a minute of one core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.classifier import labels_of, train_classifier
from experiments.setting import Setting

WEIGHTS = Path(__file__).parent / "weights" / "mnist-gan.safetensors"
ENCODER: dict[str, Any] = {"encoder": "digits", "stem": "imagenet", "projector": (64, 64), "views": "mnist"}
LEARNING: dict[str, Any] = {**ENCODER, "batch": 128, "temperature": 0.5, "optimizer": "adam", "lr": 1e-3}
MNIST = Setting(
    "mnist",
    dataset="mnist",
    recipe="gan",
    pairs=10_000,
    labels=labels_of,
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


def prepare(setting: Setting = MNIST) -> None:
    """Train the classifier of a setting on MNIST, if it is not there."""
    train_classifier(setting, epochs=2.0)
