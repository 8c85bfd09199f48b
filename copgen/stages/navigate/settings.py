"""The settings of `copgen navigate`, each with its unit and its source."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from copgen.generators.settings import GeneratorChoice
from copgen.latents.navigator import Init
from copgen.stages.navigate.navigator_shape import NavigatorShape

Beta = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1)]


class NavigateSettings(GeneratorChoice, NavigatorShape):
    """Settings of `copgen navigate`."""

    free: ClassVar[frozenset[str]] = frozenset(
        {"checkpoint_every", "preview_every", "snapshot_every", "read_every", "device", "memory", "compile"}
    )

    samples: int = Field(ge=2, description="training samples drawn, the unit of the paper's figures")
    batch: int = Field(default=176, ge=2, le=1_000_000, description="K, pairs per update (authors: 176)")
    seed: int = Field(default=0, ge=0, description="decides every random number")

    objective: Literal["info_nce", "sup_con"] = Field(
        default="info_nce", description="the loss: InfoNCE (Algorithm 1), or SupCon with the classes (appendix E)"
    )
    classes: int | None = Field(
        default=None, ge=1, description="of a batch, for sup_con; unset takes half as many as images (appendix E)"
    )
    anchors: Literal["first", "both"] = Field(
        default="first", description="losses of the anchors (Algorithm 1) or of both sides (authors' code); of info_nce"
    )
    temperature: float = Field(default=0.1, gt=0, description="of the loss (authors' code: 0.1)")
    loss_scale: float = Field(default=1.0, gt=0, description="factor on the loss (authors' code: temperature / 0.07)")
    update: Literal["simultaneous", "alternating"] = Field(
        default="simultaneous",
        description="one pass, f descends and T_z ascends (Algorithm 1), or f first and T_z against the new f (code)",
    )
    lr_navigator: float = Field(default=1e-5, gt=0, description="Adam's learning rate for T_z (authors' code: 1e-5)")
    lr_encoder: float = Field(default=3e-5, gt=0, description="Adam's learning rate for f (authors' code: 3e-5)")
    betas: tuple[Beta, Beta] = Field(default=(0.5, 0.999), description="Adam's betas (authors' code)")

    init: Init = Field(default="default", description="initialisation of T_z: default (authors) or target_std (app. D)")
    init_std: float = Field(default=0.01, gt=0, description="RMS of T_z(z) at the start, for target_std (appendix D)")

    views: str = Field(default="simclr", description="view policy T_x")
    encoder: str = Field(default="resnet18", description="architecture of f (authors: resnet18)")
    projector: tuple[Width, Width] = Field(default=(512, 128), description="hidden and output width of its projector")

    stop: Literal["samples", "delta", "turn"] = Field(default="samples", description="what ends the run")
    delta: float | None = Field(default=None, gt=0, description="bound on d(z, z'), RMS per latent coordinate")
    delta_share: float = Field(
        default=1.0, gt=0, le=1, description="share of a batch that must keep to delta (Algorithm 1: all of it)"
    )
    turn_smoothing: float = Field(default=0.95, ge=0, lt=1, description="weight of the past in the smoothed loss of f")
    turn_rise: float = Field(default=0.05, gt=0, description="rise above its minimum that counts as a turn, nats")

    checkpoint_every: int = Field(default=50, ge=1, description="updates between checkpoints")
    preview_every: int = Field(default=5_000, ge=1, description="samples between preview pictures")
    snapshot_every: int = Field(default=5_000, ge=1, description="samples between navigator snapshots")
    read_every: int | None = Field(
        default=None, ge=1, description="updates between two waits for the device; unset: 1 on the CPU, 20 on CUDA"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    memory: Literal["keep", "save"] = Field(
        default="keep", description="activations of G: kept for the gradient, or made again (slower, less memory)"
    )
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = Field(
        default="off", description="torch.compile of G and f, and in which mode; the last two use CUDA graphs"
    )

    @property
    def updates(self) -> int:
        """Optimizer updates: whole batches within `samples`, at least one."""
        return max(1, self.samples // self.batch)

    @property
    def classes_of_a_batch(self) -> int:
        """How many classes a batch holds; for sup_con."""
        return self.classes or max(1, self.batch // 2)

    def model_post_init(self, context: Any) -> None:
        if self.classes is not None and self.objective != "sup_con":
            raise ValueError("classes are of objective = 'sup_con' alone")
        if self.stop == "delta" and self.delta is None:
            raise ValueError("stop = 'delta' needs a value for delta")
