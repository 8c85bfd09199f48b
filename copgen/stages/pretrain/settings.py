"""The settings of `copgen pretrain`, with units and sources."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from copgen.data.loaders.names import LoaderName
from copgen.methods.defaults import FEATURES, SETTING_NAMES, MethodSettings, is_scaled, settings_of
from copgen.runtime.declaration import Flag, deterministic_setting, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT, OUTPUT, SPEED, TRAINING
from copgen.runtime.settings import Settings
from copgen.stages.sample.settings import OfLatents, refuse_pool
from copgen.training.intervals import Interval, checkpoint_setting
from copgen.training.length import batch_size, sample_count, update_count, whole_batches
from copgen.training.names import Compile, OptimizerName, Precision
from copgen.training.trackers import TrackerName, tracking_setting

EPOCHS, MOST_EPOCHS = 100.0, 1e6
ONLINE = "online:"
OF_METHOD = "methods/defaults.py"


class PretrainSettings(Settings):
    """Settings of `copgen pretrain`; at most one of epochs, samples and updates is given."""

    free: ClassVar[frozenset[str]] = frozenset(
        {
            "checkpoint_every",
            "device",
            "deterministic",
            "workers",
            "compile",
            "read_every",
            "skip_bad",
            "data_root",
            "track",
        }
    )
    exclusive = (("pairs", "dataset"), ("epochs", "samples", "updates"))
    of_choice: ClassVar[Mapping[str, Collection[str]]] = {"method": SETTING_NAMES}

    pairs: Path | None = setting(
        None, text="Pairs folder (pairs), or online:RUN or online:GENERATOR.", flag=Flag(INPUT, "FOLDER")
    )
    online_n: int = setting(
        1_300_000,
        text="Pairs of an epoch, if online (1.3M).",
        unit="pairs",
        source="authors: 1,300 for each of 1,000 ImageNet folders",
        ge=1,
        flag=Flag(INPUT, "COUNT"),
    )
    transform: OfLatents | None = setting(
        None, text="Latent transform of online pairs, such as gaussian.", flag=Flag(INPUT, "NAME", choices=("nearest",))
    )
    std: float | None = setting(
        None, text="Standard deviation of gaussian, if online.", gt=0, le=1000, flag=Flag(INPUT, "STD")
    )
    weights: Path | None = setting(None, text="Weights file of an online generator.", flag=Flag(INPUT, "FILE"))
    round: bool = setting(False, text="Round online images to 8 bits, as in a folder.", flag=Flag(INPUT))
    dataset: str | None = setting(
        None, text="Real images instead of pairs (copgen data list).", flag=Flag(INPUT, "NAME|FOLDER")
    )
    split: Literal["train", "train+validation"] = setting(
        "train",
        text="Split of the dataset: train, or train+validation.",
        source="authors: all training images, without a validation split",
        flag=Flag(INPUT, "NAME"),
    )
    data_root: Path | None = setting(None, text="Folder of the datasets (COPGEN_DATA).", flag=Flag(INPUT, "FOLDER"))
    epochs: float | None = setting(
        None,
        text="Passes over the pairs (100).",
        source="section 4: 100",
        gt=0,
        le=MOST_EPOCHS,
        flag=Flag(TRAINING, "N"),
    )
    samples: int | None = sample_count(None)
    updates: int | None = update_count(None)
    batch: int = batch_size(224, source="authors")
    seed: int = seed_setting()

    method: str = setting(
        "simclr",
        text="How f learns: simclr, supcon, byol, nnclr, negft or negft-inbatch.",
        source="section 4: simclr; appendix C.4: byol; appendix E: supcon",
        flag=Flag(TRAINING, "NAME"),
    )
    positives: int = setting(
        1,
        text="Positives of each anchor in an update.",
        source="section 4: 1; GenRep samples up to 20, and takes one at random",
        ge=1,
        flag=Flag(TRAINING, "COUNT"),
    )
    temperature: float | None = setting(
        None, text="Temperature (of the method; simclr: 0.1).", source=OF_METHOD, flag=Flag(TRAINING, "TAU")
    )
    loss_scale: float | None = setting(
        None, text="Factor on the loss of simclr or supcon in training.", source=OF_METHOD
    )
    momentum: float | None = setting(
        None, text="Momentum of byol's target or negft's key encoder.", source=OF_METHOD, flag=Flag(TRAINING, "M")
    )
    momentum_schedule: str | None = setting(
        None, text="That momentum over the run: constant, or cosine up to 1.", source=OF_METHOD
    )
    queue: int | None = setting(
        None, text="Embeddings in the queue of nnclr or negft.", source=OF_METHOD, flag=Flag(TRAINING, "COUNT")
    )
    alpha: float | None = setting(
        None, text="negft mixes negatives with lambda ~ Beta(alpha, alpha).", source=OF_METHOD
    )
    mixing: str | None = setting(None, text="negft's lambda is one per element, or one per update.", source=OF_METHOD)
    optimizer: OptimizerName = setting(
        "sgd",
        text="sgd (momentum 0.9), lars, adam or adamw.",
        source="authors: sgd; SimCLR and BYOL, for large batches: lars",
        flag=Flag(TRAINING, "NAME"),
    )
    lr: float = setting(
        0.03 * 224 / 256,
        text="Peak learning rate.",
        source="authors: 0.03 batch / 256",
        gt=0,
        flag=Flag(TRAINING, "RATE"),
    )
    warmup_epochs: float = setting(
        0.0,
        text="Epochs of linear warm-up.",
        source="authors: 0 up to a batch of 256, else 10",
        ge=0,
        le=MOST_EPOCHS,
        flag=Flag(TRAINING, "N"),
    )
    weight_decay: float = setting(1e-4, text="Weight decay.", source="authors", ge=0, flag=Flag(TRAINING, "DECAY"))
    decay_norms: bool = setting(
        True,
        text="Decay batch norms and biases too.",
        source="authors: yes; SimCLR and BYOL with LARS: no, and LARS does not adapt their rate then",
    )
    final_lr: float = setting(1e-3, text="Final learning rate, relative to the peak.", source="authors", ge=0, le=1)
    clip: float | None = setting(None, text="Largest norm of the gradient (no limit).", source="authors: none", gt=0)

    views: str = setting("simclr", text="Augmentation T_x, such as simclr.", flag=Flag(TRAINING, "NAME"))
    size: int | None = setting(
        None,
        text="Side of the views (that of the images; 128 if those differ).",
        unit="pixels",
        source="section 4: 128",
        ge=1,
        flag=Flag(TRAINING, "PIXELS"),
    )
    encoder: str = setting(
        "resnet50",
        text="Encoder f: digits, resnet18, resnet34, resnet50.",
        source="section 4: resnet50",
        flag=Flag(TRAINING, "NAME"),
    )
    stem: Literal["imagenet", "small"] | None = setting(
        None,
        text="Stem of f: imagenet, or small for images up to 64 px.",
        source="authors: imagenet, for 28 pixels too; SimCLR, appendix B.9: small for CIFAR-10",
        flag=Flag(TRAINING, "NAME"),
    )
    projector: tuple[int, ...] | None = setting(
        None, text="Widths of the projection head: hidden layers, output.", source=OF_METHOD
    )
    predictor: int | None = setting(None, text="Hidden width of the prediction head.", source=OF_METHOD)

    loader: LoaderName = setting(
        "auto",
        text="Reads, augments: auto, dali, torch, torchvision.",
        source="auto says what it chose, and why",
        flag=Flag(SPEED, "NAME"),
    )
    workers: int | None = setting(
        None, text="Threads or processes that read images (one per core).", ge=1, le=1024, flag=Flag(SPEED, "COUNT")
    )
    skip_bad: int = setting(
        0, text="Unreadable images to skip; more are an error.", unit="images", ge=0, flag=Flag(INPUT, "COUNT")
    )
    precision: Precision = setting(
        "float32",
        text="float32, bfloat16 (autocast) or float64.",
        source="authors: float32",
        spellings={"bf16": "bfloat16"},
        flag=Flag(SPEED, "NAME"),
    )
    compile: Compile = setting("off", text="torch.compile of f: off, default, ...", flag=Flag(SPEED, "MODE"))
    chunk: int | None = setting(
        None,
        text="Samples that pass f at once; cached gradients make up the batch.",
        unit="samples, over all ranks",
        source="GradCache (Gao et al. 2021); None: the whole batch",
        ge=1,
        flag=Flag(SPEED, "COUNT"),
    )
    read_every: int | None = setting(
        None, text="Updates between reads of the metrics.", unit="updates", source="1 on the CPU, 20 on CUDA", ge=1
    )
    monitor: str | None = setting(
        None,
        text="Labelled dataset or folder to probe meanwhile.",
        source="its training and validation split",
        flag=Flag(INPUT, "NAME|FOLDER"),
    )
    monitor_every: int | None = setting(
        None,
        text="Samples between probes (an epoch, with --monitor).",
        unit="samples",
        source="without --monitor: RankMe, alignment and uniformity",
        ge=1,
        flag=Flag(OUTPUT, "COUNT"),
    )
    checkpoint_every: Interval = checkpoint_setting()
    device: str = device_setting()
    deterministic: bool = deterministic_setting()
    track: TrackerName | None = tracking_setting()

    @model_validator(mode="after")
    def _of_the_method(self) -> Self:
        """Settings of the method that were not given are its defaults, with widths for the encoder."""
        self.__dict__.update(self.of_method)
        return self

    @property
    def of_method(self) -> MethodSettings:
        """The settings of the method; errors as `settings_of`."""
        given = {name: getattr(self, name) for name in SETTING_NAMES}
        features = features_of(self.encoder) if is_scaled(self.method) else FEATURES
        return settings_of(self.method, given, features=features)

    _without_a_pool = field_validator("transform", mode="before")(refuse_pool)

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        """Convert samples to updates; the default length is the paper's epochs."""
        if self.samples is not None:
            self.__dict__.update(updates=whole_batches(self.samples, self.batch), samples=None)
        elif self.updates is None and self.epochs is None:
            self.__dict__.update(epochs=EPOCHS)
        return self

    @model_validator(mode="after")
    def _of_online_pairs(self) -> Self:
        given = [name for name in ("transform", "std", "weights") if getattr(self, name) is not None]
        if (given or self.round) and not self.online:
            raise ValueError(f"{(given or ['round'])[0]} is for online pairs: pairs = 'online:...'")
        return self

    @property
    def online(self) -> bool:
        """Whether the pairs are made while training."""
        return self.pairs is not None and str(self.pairs).startswith(ONLINE)

    def updates_over(self, pairs: int) -> int:
        """Optimizer updates: as given, or whole batches of the epochs over that many pairs; at least one."""
        return self.updates or max(1, math.floor((self.epochs or EPOCHS) * pairs / self.batch))


def features_of(encoder: str) -> int:
    """The features of an encoder; of an unknown one, which is refused later, those of a ResNet-50."""
    from copgen.encoders.resnet import ARCHITECTURES  # imports torch

    return ARCHITECTURES[encoder].feature_dim if encoder in ARCHITECTURES else FEATURES
