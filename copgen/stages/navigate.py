"""`copgen navigate`: Algorithm 1. T_z learns to make positives that f finds hard to match, within d(z, z') <= delta.

Legend: K batch size; z, z' (K, dim) latents; x, x' images in [-1, 1]; v, v' views; h, h' (K, D) embeddings; T_z the
navigator, T_x the data-space augmentation, f the encoder with its projector (thrown away), L the InfoNCE loss in nats.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from copgen import encoders, generators, views
from copgen.latents.navigator import FILE_NAME, Init, Navigator, new_navigator, save_navigator
from copgen.latents.operations import Shift
from copgen.objectives import chance_level, info_nce
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime.events import Events, Silent
from copgen.runtime.files import read_json, write_json
from copgen.runtime.machine import resolve_device
from copgen.runtime.run_folder import Logged, RunFolder
from copgen.runtime.seeds import seeded
from copgen.runtime.training import Training
from copgen.stages.generator_choice import GeneratorChoice, terms
from copgen.stages.navigator_shape import NavigatorShape
from copgen.stages.rehearsal import rehearse_training
from copgen.stages.stop_rules import TurnDetector

PREVIEW_PAIRS = 16
SUMMARY = "summary.json"
Beta = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1)]


class NavigateSettings(GeneratorChoice, NavigatorShape):
    """Settings of `copgen navigate`."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every", "preview_every", "snapshot_every", "device"})

    samples: int = Field(ge=2, description="training samples drawn, the unit of the paper's figures")
    batch: int = Field(default=176, ge=2, le=1_000_000, description="K, pairs per update (authors: 176)")
    seed: int = Field(default=0, ge=0, description="decides every random number")

    anchors: Literal["first", "both"] = Field(
        default="first", description="losses of the anchors (Algorithm 1) or of both sides (authors' code)"
    )
    temperature: float = Field(default=0.1, gt=0, description="of InfoNCE (authors' code: 0.1)")
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
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")

    @property
    def updates(self) -> int:
        """Optimizer updates: whole batches within `samples`, at least one."""
        return max(1, self.samples // self.batch)

    def model_post_init(self, context: Any) -> None:
        if self.stop == "delta" and self.delta is None:
            raise ValueError("stop = 'delta' needs a value for delta")


class Game:
    """The players and their optimizers: T_z that ascends L, f that descends it."""

    def __init__(self, settings: NavigateSettings, G: generators.Generator, device: torch.device) -> None:
        self.settings = settings
        self.T_z = new_navigator(
            G.latent_dim,
            **settings.shape_for(G),
            init=settings.init,
            std=settings.init_std,
            prior=G.prior,
            seed=settings.seed,
        ).to(device)
        with seeded(settings.seed, "navigate/f"):
            backbone = encoders.build(settings.encoder, G.channels)
            hidden, out = settings.projector
            f = nn.Sequential(backbone, encoders.Projector(backbone.feature_dim, hidden, out))
        self.f = f.to(device).to(memory_format=torch.channels_last).train()
        self.ascend = torch.optim.Adam(
            self.T_z.parameters(), lr=settings.lr_navigator, betas=settings.betas, maximize=True
        )
        self.descend = torch.optim.Adam(self.f.parameters(), lr=settings.lr_encoder, betas=settings.betas)

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"navigator": self.T_z, "encoder": self.f, "ascend": self.ascend, "descend": self.descend}

    def loss(self, v: Tensor, v_pos: Tensor) -> Tensor:
        """L of two batches of views (K, C, H, W), in nats; one pass of f over both, so batch statistics are joint."""
        h, h_pos = self.f(torch.cat((v, v_pos))).chunk(2)
        return info_nce(h, h_pos, temperature=self.settings.temperature, anchors=self.settings.anchors)

    def play(self, v: Tensor, v_pos: Tensor, training: Training, update: int) -> tuple[float, float]:
        """One update of both players; returns L as f saw it and as T_z saw it."""
        if self.settings.update == "simultaneous":
            return self._simultaneous(v, v_pos, training, update)
        return self._alternating(v, v_pos, training, update)

    def _simultaneous(self, v: Tensor, v_pos: Tensor, training: Training, update: int) -> tuple[float, float]:
        loss = self.loss(v, v_pos)
        training.check_finite(update, loss=loss)
        self.descend.zero_grad()
        self.ascend.zero_grad()
        torch.autograd.backward(self.settings.loss_scale * loss)
        self.descend.step()
        self.ascend.step()
        return loss.item(), loss.item()

    def _alternating(self, v: Tensor, v_pos: Tensor, training: Training, update: int) -> tuple[float, float]:
        loss_f = self.loss(v, v_pos.detach())
        training.check_finite(update, loss_encoder=loss_f)
        self.descend.zero_grad()
        torch.autograd.backward(self.settings.loss_scale * loss_f)
        self.descend.step()

        loss_T = self.loss(v, v_pos)
        training.check_finite(update, loss_navigator=loss_T)
        self.ascend.zero_grad()
        torch.autograd.backward(self.settings.loss_scale * loss_T, inputs=list(self.T_z.parameters()))
        self.ascend.step()
        return loss_f.item(), loss_T.item()


def navigate(
    settings: NavigateSettings, *, out: Path, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Train a navigator and write `navigator.safetensors` into the run folder `out`; returns its summary.

    Raises:
        UsageError, DataError, EnvironmentFault: as the settings, the weights and the folder give cause.
        Diverged: a loss is not finite; raised before anything is updated with it.
        Stopped: a signal came; the state is saved and the same call goes on.
    """
    device = resolve_device(settings.device)
    G = settings.load_generator(device)
    T_x = views.policy(settings.views)
    # Names that cannot be meant are refused here, before anything in the folder is touched.
    game = Game(settings, G, device)
    views.plain(torch.zeros(1, G.channels, G.image_size, G.image_size), T_x)
    folder = RunFolder(out, stage="navigate", artefact=FILE_NAME)
    inputs = {"generator": G.weights_sha256}
    if instances := G.settings.get("instances_sha256"):
        inputs["instances"] = str(instances)
    with folder.open(settings, device=device, overwrite=overwrite, inputs=inputs) as run:
        if run.finished:
            return dict(read_json(run.path / SUMMARY))
        events = Logged(events or Silent(), run.path / "log.txt")
        if note := terms(G):
            events.say(note)
        turn = TurnDetector(smoothing=settings.turn_smoothing, rise=settings.turn_rise)
        K, seed = settings.batch, settings.seed
        ended = "samples"
        with Training(
            run,
            state={**game.state, "turn": turn},
            updates=settings.updates,
            samples_per_update=K,
            checkpoint_every=settings.checkpoint_every,
            events=events,
            title="navigate",
        ) as training:
            for update in training:
                indices = range(update * K, (update + 1) * K)
                z = G.sample_prior(indices, seed)
                condition = G.sample_condition(indices, seed)
                moved = game.T_z.move(z, delta=settings.delta)
                z_pos, shift = moved.z_pos, shift_statistics(moved)
                if settings.stop == "delta" and (K - shift["violations"]) / K < settings.delta_share:
                    ended = "delta"
                    break
                with torch.no_grad():
                    x = G(z, condition)
                x_pos = G(z_pos, condition)
                v = views.augment(x, T_x, seed=seed, rows=indices, stream="views/anchor")
                v_pos = views.augment(x_pos, T_x, seed=seed, rows=indices, stream="views/positive")
                loss_f, loss_T = game.play(v, v_pos, training, update)
                turned = turn.watch(loss_f, game.T_z)
                losses = {"loss_encoder": loss_f, "loss_navigator": loss_T, "chance": chance_level(K)}
                training.log(update, {**losses, "loss_smoothed": turn.smoothed(), **shift})
                if crosses(settings.snapshot_every, update, K):
                    snapshot = run.path / "snapshots" / f"samples-{(update + 1) * K:010d}.safetensors"
                    save_navigator(snapshot, game.T_z, made_by=provenance(settings, G))
                if crosses(settings.preview_every, update, K):
                    save_preview(run.path / "previews" / f"samples-{(update + 1) * K:010d}.png", G, game.T_z, seed)
                if settings.stop == "turn" and turned:
                    training.end_early()
            if training.ended_early:
                ended = "turn"
                game.T_z.load_state_dict(turn.best)
            summary = summarise(settings, G, game.T_z, ended=ended, updates=training.done, turn=turn)
        events.say(ending(summary))
        save_preview(run.path / "previews" / "final.png", G, game.T_z, seed)
        write_json(run.path / SUMMARY, summary)
        save_navigator(run.artefact, game.T_z, made_by={**provenance(settings, G), "summary": summary})
        return summary


def shift_statistics(shift: Shift) -> dict[str, float]:
    """Mean and standard deviation of z' - z over all coordinates, d (mean, 95th percentile, max), and violations."""
    numbers = shift.numbers()
    return {name: numbers[name] for name in ("shift_mean", "shift_std", "d_mean", "d_p95", "d_max", "violations")}


def crosses(interval: int, update: int, K: int) -> bool:
    """Whether the samples drawn pass a multiple of `interval` with this update."""
    return (update + 1) * K // interval > update * K // interval


@torch.no_grad()
def save_preview(path: Path, G: generators.Generator, T_z: Navigator, seed: int) -> None:
    """A picture of sixteen anchors above their positives, the same latents each time."""
    z = G.sample_prior(range(PREVIEW_PAIRS), seed)
    condition = G.sample_condition(range(PREVIEW_PAIRS), seed)
    save_picture(path, grid_picture([G(z, condition), G(T_z(z), condition)]))


def provenance(settings: NavigateSettings, G: generators.Generator) -> dict[str, Any]:
    """What made a navigator: the settings, and the generator by the hash of its weights."""
    return {"stage": "navigate", "settings": settings.tree(), "generator": G.name, "weights_sha256": G.weights_sha256}


def summarise(
    settings: NavigateSettings, G: generators.Generator, T_z: Navigator, *, ended: str, updates: int, turn: TurnDetector
) -> dict[str, Any]:
    """What the run came to, with the shift of the final navigator over 4,096 fresh latents."""
    drawn = settings.updates * settings.batch
    z = G.sample_prior(range(drawn, drawn + 4096), settings.seed)
    with torch.no_grad():
        shift = shift_statistics(T_z.move(z, delta=settings.delta))
    finite = math.isfinite(turn.minimum)
    return {
        "ended_by": ended,
        "updates": updates,
        "samples": updates * settings.batch,
        "chance": chance_level(settings.batch),
        "loss_smoothed": turn.smoothed() if turn.updates else None,
        "loss_minimum": turn.minimum if finite else None,
        "loss_minimum_samples": turn.minimum_update * settings.batch,
        "shift": shift,
    }


def ending(summary: dict[str, Any]) -> str:
    """One sentence on why it ended."""
    reason = {
        "samples": "all samples were drawn",
        "delta": "d(z, z') went beyond delta",
        "turn": f"the loss of f turned; this is the navigator of {summary['loss_minimum_samples']:,} samples",
    }[summary["ended_by"]]
    return f"Ended after {summary['samples']:,} samples: {reason}. d is {summary['shift']['d_mean']:.3f} on average."


def estimate(settings: NavigateSettings) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder."""
    short = settings.model_copy(update={"samples": min(settings.samples, 4 * settings.batch), "stop": "samples"})
    more = {
        FILE_NAME: settings.samples // settings.snapshot_every,
        "previews/final.png": settings.samples // settings.preview_every,
    }
    return rehearse_training(lambda folder: navigate(short, out=folder), updates=settings.updates, more=more)
