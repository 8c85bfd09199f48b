"""The settings of `copgen navigate`, each with its unit and its source."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from copgen.generators.settings import GeneratorChoice
from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import SPEED, TRAINING
from copgen.stages.navigate.navigator_shape import NavigatorShape
from copgen.training.length import Length, batch_size

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
            "read_every",
            "device",
            "activation_checkpointing",
            "compile",
        }
    )
    exclusive = (*GeneratorChoice.exclusive, *Length.exclusive)

    batch: int = batch_size(176, source="authors")
    seed: int = seed_setting()

    objective: Literal["info_nce", "sup_con"] = setting(
        "info_nce",
        text="info_nce, sup_con, or steering (imitate edits).",
        source="Algorithm 1; sup_con, with the classes: appendix E",
        flag=Flag(TRAINING, "NAME", choices=("steering",)),
    )
    classes: int | None = setting(
        None,
        text="Classes in a batch, of sup_con (half of it).",
        source="appendix E",
        ge=1,
        flag=Flag(TRAINING, "COUNT"),
    )
    anchors: Literal["first", "both"] = setting(
        "first",
        text="InfoNCE as in Algorithm 1, or symmetric.",
        source="first: Algorithm 1; both: the authors' code",
        flag=Flag(TRAINING, "first|both"),
    )
    temperature: float = setting(
        0.1, text="Temperature of the loss.", source="authors' code", gt=0, flag=Flag(TRAINING, "TAU")
    )
    loss_scale: float = setting(1.0, text="Factor on the loss.", source="authors' code: temperature / 0.07", gt=0)
    update: Literal["simultaneous", "alternating"] = setting(
        "simultaneous",
        text="simultaneous (Algorithm 1) or alternating.",
        source="alternating, first f and then T_z against the new f: the authors' code",
        flag=Flag(TRAINING, "RULE"),
    )
    lr_navigator: float = setting(1e-5, text="Adam's rate for T_z.", source="authors' code", gt=0, flag=RATE)
    lr_encoder: float = setting(3e-5, text="Adam's rate for f.", source="authors' code", gt=0, flag=RATE)
    betas: tuple[Beta, Beta] = setting((0.5, 0.999), text="Adam's betas.", source="authors' code")

    init: Literal["default", "target_std"] = setting(
        "default", text="Initialisation of T_z.", source="default: authors; target_std: appendix D"
    )
    init_std: float = setting(0.01, text="RMS of T_z(z) at the start, for target_std.", source="appendix D", gt=0)

    views: str = setting("simclr", text="Augmentation T_x: a policy, such as simclr.", flag=Flag(TRAINING, "NAME"))
    encoder: str = setting(
        "resnet18",
        text="Network f: digits, resnet18 or resnet50.",
        source="authors' code: resnet18",
        flag=Flag(TRAINING, "NAME"),
    )
    projector: tuple[Width, Width] = setting(
        (512, 128), text="Hidden and output width of its projector.", source="authors' code"
    )

    stop: Literal["samples", "delta", "loss-turn"] = setting(
        "samples",
        text="Ends it: samples, delta, or loss-turn (of f).",
        source="delta: Algorithm 1; loss-turn: appendix B",
        former_values={"turn": "loss-turn"},
        flag=Flag(TRAINING, "RULE"),
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
        1.0, text="Share of a batch that must keep to delta.", source="Algorithm 1: all of it", gt=0, le=1
    )
    turn_smoothing: float = setting(0.95, text="Weight of the past in the smoothed loss of f.", ge=0, lt=1)
    turn_rise: float = setting(0.05, text="Rise above its minimum that counts as a turn.", unit="nats", gt=0)

    checkpoint_every: int = setting(50, text="Updates between checkpoints.", unit="updates", ge=1)
    preview_every: int = setting(5_000, text="Samples between preview pictures.", unit="samples", ge=1)
    snapshot_every: int = setting(5_000, text="Samples between navigator snapshots.", unit="samples", ge=1)
    read_every: int | None = setting(
        None,
        text="Updates between two waits for the device.",
        unit="updates",
        source="measured; unset: 1 on the CPU, 20 on CUDA",
        ge=1,
    )
    device: str = device_setting()
    activation_checkpointing: bool = setting(
        False,
        text="Recompute G's activations: less memory, slower.",
        former=("memory",),
        former_values={"keep": False, "save": True},
        flag=Flag(SPEED),
    )
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = setting(
        "off",
        text="torch.compile: off, default, reduce-overhead.",
        source="of G and f; the last two modes use CUDA graphs",
        flag=Flag(SPEED, "MODE"),
    )

    @property
    def classes_of_a_batch(self) -> int:
        """How many classes a batch holds; for sup_con."""
        return self.classes or max(1, self.batch // 2)

    def model_post_init(self, context: Any) -> None:
        if self.classes is not None and self.objective != "sup_con":
            raise ValueError("classes are of objective = 'sup_con' alone")
        if self.stop == "delta" and self.delta is None:
            raise ValueError("stop = 'delta' needs a value for delta")
