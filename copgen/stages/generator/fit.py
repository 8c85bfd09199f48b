"""`copgen generator fit digits`: maximum likelihood of a Residual Flow on the real digits (Chen et al. 2019).

Per update: a batch of augmented, uniformly dequantised images; the rest is in likelihood.py. All random numbers depend
only on (seed, sample index).
"""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen import views
from copgen.data import digits
from copgen.distributed.ranks import Ranks
from copgen.evaluation.generated_digits import assess_digits
from copgen.generators.residual_flow import ResidualFlow, bits_per_dim
from copgen.generators.residual_flow.generator import FlowGenerator, save_flow
from copgen.latents.prior import Prior
from copgen.runtime import philox
from copgen.runtime.events import Events
from copgen.runtime.machine import resolve_device
from copgen.stages.generator import likelihood
from copgen.stages.generator.fit_settings import FitFlowSettings
from copgen.training.estimate import rehearse_training
from copgen.training.run import Run, started
from copgen.views.policies import AffinePolicy

ARTEFACT = "generator.safetensors"
new_run = partial(started, stage="generator fit", artefact=ARTEFACT, ranks=Ranks())


def fit_flow(
    settings: FitFlowSettings, *, out: Path | str, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Fit the flow and write `generator.safetensors` into the run folder `out`; returns its settings and metrics.

    Args:
        settings: of the flow and its training.
        out: the run folder; an unfinished run in it is resumed.
        overwrite: start from scratch.
        events: receives progress and messages.

    Raises:
        EnvironmentFault, UsageError: invalid folder or settings.
        Diverged: the loss is not finite; it was not used for an update.
        Stopped: a signal arrived; the state is saved and the same call resumes.
    """
    with new_run(settings, out, device=settings.device, overwrite=overwrite, events=events) as run:
        averaged = learn(settings, run)
        prior = Prior(scale=settings.prior_scale)

        def assess() -> dict[str, Any]:
            averaged.power_iterate(100)  # until the singular vectors have converged
            held_out = {split: held_out_bits(averaged, split, prior=prior) for split in ("validation", "test")}
            bits = ", ".join(f"{split} {value:.3f}" for split, value in held_out.items())
            run.events.say(f"Bits/dim, exact log-determinant: {bits}.")
            return {
                "command": f"copgen generator fit {settings.dataset}",
                "settings": settings.tree(),
                "bits_per_dim": held_out,
                "quality": assess_digits(FlowGenerator(copy.deepcopy(averaged).cpu(), name="digits", prior=prior)),
            }

        return run.finish(assess, lambda path, summary: save_flow(path, averaged, prior=prior, made_by=summary))


def learn(settings: FitFlowSettings, run: Run) -> ResidualFlow:
    """The training loop; returns the averaged flow."""
    fine = finer(digits.load_levels("train")[0].to(run.device))
    return likelihood.learn(
        settings,
        run,
        config=settings.flow,
        levels=digits.LEVELS,
        images=lambda rows: training_images(fine, settings, rows),
        checkpoint_every=settings.checkpoint_every,
    )


def finer(levels: Tensor) -> Tensor:
    """Images (N, 1, 32, 32) in [0, 1] whose 4x4 block means are the grey levels (N, 1, 8, 8) of 0..16.

    The digits are counts in 4x4 blocks of 32x32 bitmaps; rotating and shifting them at that resolution blurs far less
    than at 8x8. Bicubic upsampling, then back-projection of the residual of the block means.
    """
    target = levels.float() / (digits.LEVELS - 1)
    fine = F.interpolate(target, scale_factor=4, mode="bicubic", align_corners=False)
    for _ in range(10):
        missed = target - F.avg_pool2d(fine, 4)
        fine = (fine + F.interpolate(missed, scale_factor=4, mode="bicubic", align_corners=False)).clamp(0.0, 1.0)
    return fine


def augmentation_policy(strength: float) -> views.Policy:
    """Appendix D's rotation, translation and scale with their ranges multiplied by `strength`."""
    whole = AffinePolicy()
    low, high = whole.scale
    affine = AffinePolicy(
        degrees=strength * whole.degrees,
        translate=strength * whole.translate,
        scale=(1.0 - strength * (1.0 - low), 1.0 + strength * (high - 1.0)),
    )
    return views.Policy(name="fit", affine=affine)


def training_images(fine: Tensor, settings: FitFlowSettings, rows: range) -> Tensor:
    """A batch (batch, 1, 8, 8) of augmented, dequantised images in (0, 1), from the finer images of `finer`."""
    chosen = philox.uniform(settings.seed, rows, 1, stream="fit/choice")[:, 0] * fine.shape[0]
    batch = 2.0 * fine[chosen.long().to(fine.device)] - 1.0
    policy = augmentation_policy(settings.augmentation)
    augmented = views.augment(batch, policy, seed=settings.seed, rows=rows, stream="fit/views")
    levels = (digits.LEVELS - 1) * F.avg_pool2d(augmented, 4).clamp(0.0, 1.0)
    return dequantise(levels, seed=settings.seed, rows=rows)


def dequantise(levels: Tensor, *, seed: int, rows: range) -> Tensor:
    """(level + u) / 17 with u uniform in (0, 1), clamped away from 0 and 1; levels are floating-point."""
    return likelihood.dequantise(levels, levels=digits.LEVELS, seed=seed, rows=rows, margin=1e-5)


def held_out_images(split: Literal["validation", "test"], *, draw: int, device: torch.device) -> Tensor:
    """The unaugmented images of a split in (0, 1), dequantised with the noise of draw `draw`."""
    levels = digits.load_levels(split)[0].float().to(device)
    return dequantise(levels, seed=draw, rows=range(len(levels)))


@torch.no_grad()
def held_out_bits(flow: ResidualFlow, split: Literal["validation", "test"], *, prior: Prior, draws: int = 4) -> float:
    """Bits/dim of the unaugmented images of a split with the exact log-determinant, mean over dequantisation draws."""
    frozen = copy.deepcopy(flow).fold()
    device = next(flow.parameters()).device
    total = 0.0
    for draw in range(draws):
        log_prob = frozen.log_prob(held_out_images(split, draw=draw, device=device), prior_scale=prior.scale)
        bits = bits_per_dim(log_prob, latent_dim=flow.config.latent_dim, levels=digits.LEVELS)
        total += float(bits.mean()) / draws
    return total


def estimate(settings: FitFlowSettings) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder.

    The final evaluation, about half a minute, is not included.
    """
    short = settings.replaced(updates=min(settings.updates, 5))

    def rehearse(folder: Path) -> None:
        with new_run(short, folder, device=settings.device, rehearsal=True) as run:
            flow = learn(short, run)
            run.finish(dict, lambda path, _: save_flow(path, flow, prior=Prior(), made_by={}))

    return rehearse_training(rehearse, updates=settings.updates, device=resolve_device(settings.device))
