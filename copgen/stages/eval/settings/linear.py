"""The settings of `copgen eval linear`."""

from __future__ import annotations

from typing import Literal

from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import TRAINING
from copgen.stages.eval.settings.common import EvalSettings, Iterations, PositiveFloat, PositiveInt

FeatureName = Literal["avgpool", "last-2-blocks", "last-4-blocks", "grid-2x2"]  # see `evaluation.feature_choices`


class EvalLinearSettings(EvalSettings):
    """Settings of `copgen eval linear`."""

    exclusive = (("lr", "lr_grid"),)

    probe: Literal["auto", "lbfgs", "sgd"] = setting(
        "auto",
        text="lbfgs for up to 10,000 training images, sgd beyond (auto).",
        source="sgd is the paper's",
        flag=Flag(TRAINING, "NAME"),
    )
    protocol: Literal["validation", "authors"] = setting(
        "validation",
        text="What selects rate and epoch; authors: the test images.",
        source="authors' code: the best epoch on the test images",
        flag=Flag(TRAINING, "NAME"),
    )
    augment: Literal["auto", "none", "crop"] = setting(
        "auto",
        text="Training images of sgd: crop and flip, or none (as pretrained).",
        source="authors' code: crops of 0.2 to 1 and flips; appendix D: none for MNIST",
        flag=Flag(TRAINING, "NAME"),
    )
    features: tuple[FeatureName, ...] = setting(
        ("avgpool",),
        text="avgpool, last-2-blocks, last-4-blocks, grid-2x2; sgd selects.",
        source="DINOv2's linear evaluation has such a grid; others use avgpool",
        min_length=1,
        flag=Flag(TRAINING, "NAMES"),
    )
    standardise: bool | None = setting(
        None,
        text="Standardise features for sgd (yes; authors: no).",
        source="measured: without it, sgd is up to 6 points below convergence",
        flag=Flag(TRAINING),
    )
    lr: float | None = setting(
        None,
        text="Learning rate of sgd for 256 images (a grid; authors: 2).",
        source="appendix D at batch 64: 0.5 = 2 x 64/256 (real MNIST), 1.5 (synthetic)",
        gt=0,
        flag=Flag(TRAINING, "N"),
    )
    epochs: int = setting(
        60, text="Epochs of sgd.", unit="epochs", source="authors' code: 60", ge=1, flag=Flag(TRAINING, "N")
    )
    probe_batch: int | None = setting(
        None,
        text="Batch size of sgd (224; 64 for grey images).",
        unit="images",
        source="authors' code: 224; appendix D: 64",
        ge=1,
        flag=Flag(TRAINING, "N"),
    )
    lr_grid: tuple[PositiveFloat, ...] | None = setting(
        None,
        text="Learning rates of sgd for 256 images, of which validation selects one.",
        source="half decades: 0.002 to 6 for standardised features, 0.06 to 200 for others",
        min_length=1,
    )
    c_grid: tuple[PositiveFloat, ...] = setting(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2),
        text="Inverse L2 strengths C, selected on validation.",
        source="measured, for standardised features",
        min_length=1,
    )
    labels_per_class: tuple[PositiveInt, ...] = setting(
        (1, 5, 10), text="Labels per class in the few-label probes.", unit="labels", source="our choice"
    )
    label_draws: PositiveInt = setting(
        20, text="Random label draws of each few-label probe.", unit="draws", source="our choice"
    )
    max_iterations: Iterations = setting(
        5000, text="Most L-BFGS iterations per fit.", unit="iterations", source="measured, never reached"
    )
