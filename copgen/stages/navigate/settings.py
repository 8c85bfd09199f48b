"""The settings of `copgen navigate`, with units and sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from copgen.generators.settings import GeneratorChoice
from copgen.runtime.declaration import Flag, deterministic_setting, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT, SPEED, TRAINING
from copgen.stages.navigate.navigator_shape import NavigatorShape
from copgen.stages.navigate.stopping.names import DELTA, FORMER, LOSS_TURN, PERCEPTUAL, PROBE, SAMPLES, joined, listed
from copgen.training.intervals import Interval, checkpoint_setting
from copgen.training.length import Length, batch_size
from copgen.training.names import Compile
from copgen.training.trackers import TrackerName, tracking_setting

Beta = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1)]
RATE = Flag(TRAINING, "RATE")


class NavigateSettings(NavigatorShape, Length, GeneratorChoice):
    """Settings of `copgen navigate`."""

    free: ClassVar[frozenset[str]] = frozenset(
        {
            "checkpoint_every",
            "preview_every",
            "snapshot_every",
            "snapshots_kept",
            "read_every",
            "track",
            "data_root",
            "device",
            "deterministic",
            "activation_checkpointing",
            "compile",
        }
    )
    exclusive = (*GeneratorChoice.exclusive, *Length.exclusive)

    batch: int = batch_size(176, source="authors")
    seed: int = seed_setting()

    objective: Literal["info_nce", "sup_con"] = setting(
        "info_nce",
        text="Loss: info_nce, sup_con or steering.",
        source="info_nce: Algorithm 1; sup_con, with class labels: appendix E; steering: imitate edits",
        flag=Flag(TRAINING, "NAME", choices=("steering",)),
    )
    classes: int | None = setting(
        None,
        text="Classes per batch of sup_con (batch / 2).",
        source="appendix E",
        ge=1,
        flag=Flag(TRAINING, "COUNT"),
    )
    anchors: Literal["first", "both"] = setting(
        "first",
        text="InfoNCE anchors: first or both (symmetric).",
        source="first: Algorithm 1; both: the authors' code",
        flag=Flag(TRAINING, "NAME"),
    )
    temperature: float = setting(
        0.1, text="Temperature of the loss.", source="authors' code", gt=0, flag=Flag(TRAINING, "TAU")
    )
    loss_scale: float = setting(1.0, text="Factor on the loss.", source="authors' code: temperature / 0.07", gt=0)
    update: Literal["simultaneous", "alternating"] = setting(
        "simultaneous",
        text="Updates: simultaneous or alternating.",
        source="simultaneous: Algorithm 1; alternating, f before T_z: authors' code",
        flag=Flag(TRAINING, "RULE"),
    )
    encoder_updates: int = setting(
        1,
        text="Updates of f for each update of T_z.",
        unit="batches",
        source="Algorithm 1 and the authors: 1",
        ge=1,
        flag=Flag(TRAINING, "COUNT"),
    )
    lr_navigator: float = setting(1e-5, text="Learning rate of T_z (Adam).", source="authors' code", gt=0, flag=RATE)
    lr_encoder: float = setting(3e-5, text="Learning rate of f (Adam).", source="authors' code", gt=0, flag=RATE)
    weight_decay_navigator: float = setting(
        0.0,
        text="Weight decay of T_z, decoupled (AdamW).",
        source="authors: none",
        ge=0,
        flag=Flag(TRAINING, "RATE"),
    )
    betas: tuple[Beta, Beta] = setting((0.5, 0.999), text="Betas of Adam.", source="authors' code")

    init: Literal["default", "target_std"] = setting(
        "default", text="Initialisation of T_z.", source="default: authors; target_std: appendix D"
    )
    init_std: float = setting(0.01, text="Initial RMS of T_z(z), for target_std.", source="appendix D", gt=0)

    views: str = setting("simclr", text="Augmentation T_x, such as simclr.", flag=Flag(TRAINING, "NAME"))
    encoder: str = setting(
        "resnet18",
        text="Encoder f: digits, resnet18, resnet34, resnet50.",
        source="authors' code: resnet18",
        flag=Flag(TRAINING, "NAME"),
    )
    stem: Literal["imagenet", "small"] | None = setting(
        None,
        text="Stem of f: imagenet, or small for images up to 64 px.",
        source="authors: imagenet",
        flag=Flag(TRAINING, "NAME"),
    )
    encoder_width: float = setting(
        1.0,
        text="Factor on the channels of f.",
        source="authors: 1",
        gt=0,
        le=16,
        flag=Flag(TRAINING, "FACTOR"),
    )
    projector: tuple[Width, Width] = setting(
        (512, 128), text="Hidden and output width of the projection head.", source="authors' code"
    )

    stop: str = setting(
        SAMPLES,
        text="Stop: samples, delta, band, loss-turn, perceptual, probe; or several.",
        source="delta: Algorithm 1; the others: appendix B",
        former_values=FORMER,
        flag=Flag(TRAINING, "RULES"),
    )
    delta: float | None = setting(
        None,
        text="Bound on d(z, z').",
        unit="RMS per latent coordinate",
        source="Algorithm 1",
        gt=0,
        flag=Flag(TRAINING, "D"),
    )
    delta_share: float = setting(
        1.0, text="Share of a batch that must satisfy delta.", source="Algorithm 1: 1", gt=0, le=1
    )
    delta_measure: Literal["share", "mean"] = setting(
        "share", text="What delta bounds: d of delta_share of a batch, or its mean.", source="share: Algorithm 1"
    )
    turn_half_life: int | None = setting(
        None,
        text="Half-life of the smoothed encoder loss (40k, at most a tenth of the samples).",
        unit="samples",
        source="chosen on the authors' published curve, docs/stopping.md",
        ge=1,
    )
    turn_patience: int | None = setting(
        None,
        text="Samples without a lower smoothed encoder loss that count as a turn (two half-lives).",
        unit="samples",
        source="as turn_half_life",
        ge=1,
    )
    prior_std: float | None = setting(
        None,
        text="Standard deviation of z' - z that the rule band compares with (that of GenRep's Gaussian).",
        unit="per latent coordinate",
        source="GenRep: 0.2 BigBiGAN, 1.0 BigGAN-deep; appendix D: 0.05 Residual Flow",
        gt=0,
    )
    band: float = setting(
        1.2,
        text="Multiple of prior_std that the standard deviation of z' - z may reach.",
        source="ours: the authors stopped at 1.15",
        gt=0,
    )

    similarity: str | None = setting(
        None,
        text="Measure of the rule perceptual: ms-ssim, lpips, a feature space (ms-ssim).",
        source="appendix B: LPIPS or CLIP, which need weights",
        flag=Flag(TRAINING, "NAME"),
    )
    similarity_kept: float = setting(
        0.85,
        text="Share of the similarity of anchors and positives at the start that must be kept.",
        source="measured on digits: where delta = 0.05 ends, docs/stopping.md",
        gt=0,
        lt=1,
    )
    similarity_penalty: float = setting(
        0.0,
        text="Penalty of T_z on what similarity_kept forbids.",
        unit="nats for all of the similarity",
        source="ours: a perceptual constraint in place of delta",
        ge=0,
        flag=Flag(TRAINING, "NATS"),
    )
    probe_on: str | None = setting(
        None,
        text="Labelled dataset or folder to probe f on, for the rule probe.",
        source="its training and validation split",
        flag=Flag(INPUT, "NAME|FOLDER"),
    )
    probe_labels: int = setting(
        5, text="Labels of each class of the rule probe.", source="ours: docs/stopping.md", ge=1
    )
    probe_images: int = setting(
        600,
        text="Images of a check of the rule probe, half of them labelled.",
        source="2 % of f's passes in 5,000 samples",
        ge=4,
    )
    probe_patience: int | None = setting(
        None,
        text="Samples without a better probe that end a run (as turn_patience; three checks or more).",
        unit="samples",
        source="ours: docs/stopping.md",
        ge=1,
    )
    data_root: Path | None = setting(None, text="Folder of the datasets (COPGEN_DATA).", flag=Flag(INPUT, "FOLDER"))
    check_every: int = setting(
        5_000, text="Samples between two checks of the similarity or the probe.", unit="samples", ge=1
    )

    checkpoint_every: Interval = checkpoint_setting()
    preview_every: int = setting(5_000, text="Samples between previews.", unit="samples", ge=1)
    snapshot_every: int = setting(5_000, text="Samples between navigator snapshots.", unit="samples", ge=1)
    snapshots_kept: int = setting(
        400,
        text="Snapshots to keep, the newest ones.",
        source="ours: all of the longest recipe, biggan-deep-128",
        ge=1,
    )
    read_every: int | None = setting(
        None,
        text="Updates between reads of the metrics.",
        unit="updates",
        source="measured; default: 1 on the CPU, 20 on CUDA",
        ge=1,
    )
    device: str = device_setting()
    deterministic: bool = deterministic_setting()
    track: TrackerName | None = tracking_setting()
    activation_checkpointing: bool = setting(
        False,
        text="Recompute G to save memory (slower).",
        former=("memory",),
        former_values={"keep": False, "save": True},
        flag=Flag(SPEED),
    )
    compile: Compile = setting(
        "off",
        text="torch.compile of G and f: off, default, ...",
        source="reduce-overhead and max-autotune use CUDA graphs",
        flag=Flag(SPEED, "MODE"),
    )

    @field_validator("stop", mode="before")
    @classmethod
    def _known_rules(cls, given: Any) -> Any:
        return joined(listed(given)) if isinstance(given, str | list | tuple) else given

    @property
    def stop_rules(self) -> tuple[str, ...]:
        """The rules of `stop`, without `samples`."""
        return listed(self.stop)

    @property
    def watched_similarity(self) -> str | None:
        """The measure to check: the one given, or that of the rule or the penalty."""
        needed = PERCEPTUAL in self.stop_rules or self.similarity_penalty > 0
        return self.similarity or ("ms-ssim" if needed else None)

    @classmethod
    def of_a_run(cls, tree: Mapping[str, Any]) -> dict[str, Any]:
        """As in `Settings`; the turn of older versions counts only where it could end the run."""
        given = super().of_a_run(tree)
        if given.get("stop") not in FORMER.keys() | {LOSS_TURN}:
            given = {name: value for name, value in given.items() if name not in ("turn_smoothing", "turn_rise")}
        return given

    @property
    def classes_of_a_batch(self) -> int:
        """Number of classes in a batch of sup_con."""
        return self.classes or max(1, self.batch // 2)

    def updates_navigator(self, rows: range) -> bool:
        """Whether T_z is updated with the batch of these rows: the last of each `encoder_updates`."""
        return rows.stop // self.batch % self.encoder_updates == 0

    @model_validator(mode="after")
    def _trains_the_navigator(self) -> Self:
        if self.encoder_updates > self.updates:
            raise ValueError(
                f"encoder_updates = {self.encoder_updates} needs as many updates, or T_z is never trained; the run has "
                f"{self.updates:,}"
            )
        return self

    def model_post_init(self, context: Any) -> None:
        if self.classes is not None and self.objective != "sup_con":
            raise ValueError("classes need objective = 'sup_con'")
        if DELTA in self.stop_rules and self.delta is None:
            raise ValueError("stop = 'delta' needs a value for delta")
        if PROBE in self.stop_rules and self.probe_on is None:
            raise ValueError("stop = 'probe' needs probe_on, a labelled dataset or folder such as digits")
        if self.probe_images < 4 * self.probe_labels:
            needed = f"{4 * self.probe_labels} for probe_labels = {self.probe_labels} of two classes"
            raise ValueError(f"probe_images = {self.probe_images} is too few; {needed} are the least")
