"""Maximum likelihood of a Residual Flow (Chen et al. 2019): the training loop and bits/dim of held-out images.

Per update: log p(x) of a batch of dequantised images with one random-sign probe per image and block, a Russian-roulette
series and its Neumann gradient; Adam; one power iteration on every layer. The result is an exponential moving average.
All random numbers depend only on (seed, sample index).

Legend: N images, x (N, C, S, S) in (0, 1), D = C S S; `levels` grey values.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from copgen.generators.residual_flow import FlowConfig, ResidualFlow, bits_per_dim
from copgen.generators.residual_flow.log_det import SeriesLength, poisson_length
from copgen.runtime import philox
from copgen.runtime.seeds import seeded
from copgen.stages.generator.flow_settings import FlowTrainingSettings
from copgen.training.ema import average_into, warmed_up
from copgen.training.loop import Training
from copgen.training.optimizers import build_optimizer
from copgen.training.run import Run
from copgen.training.schedules import Cosine

BETAS = (0.9, 0.99)
EXACT_TERMS, EXTRA_TERMS = 20, 2.0  # of the estimate on held-out images; residual-flows: 20 and a random rest
BATCHES, LARGEST = 16, 256  # of that estimate: at least so many batches, and at most so many images in one
Images = Callable[[range], Tensor]
Watch = Callable[[ResidualFlow, Training], Mapping[str, float]]


def learn(
    settings: FlowTrainingSettings,
    run: Run,
    *,
    config: FlowConfig,
    levels: int,
    images: Images,
    checkpoint_every: int | str,
    inputs: Mapping[str, str] | None = None,
    watch: Watch | None = None,
) -> ResidualFlow:
    """The training loop; returns the averaged flow.

    Args:
        settings: of the training.
        run: its run.
        config: the architecture.
        levels: grey values of the images.
        images: sample indices -> dequantised images x.
        checkpoint_every: updates or time between checkpoints.
        inputs: as `Training`.
        watch: called in every update, before it, with the averaged flow; returns metrics to log.
    """
    with seeded(settings.seed, "flow"):
        flow = ResidualFlow(config).to(run.device).train()
        flow.power_iterate(30)
    averaged = copy.deepcopy(flow)

    def loss(update: int, rows: range) -> Tensor:
        x = images(rows)
        probes, length = draw_series(flow, settings, update, rows)
        return mean_bits(flow.log_prob(x, probes.to(x.device), length), dim=config.latent_dim, levels=levels)

    with Training(
        run,
        state={"flow": flow, "averaged": averaged},
        optimizer=build_optimizer("adam", flow, lr=settings.lr, betas=BETAS),
        schedule=Cosine(settings.lr, settings.updates, warmup=settings.warmup),
        clip=settings.clip,
        updates=settings.updates,
        batch=settings.batch,
        checkpoint_every=checkpoint_every,
        title="fit",
        inputs=inputs,
        try_update=lambda rows: torch.autograd.backward(loss(0, range(rows))),
    ) as training:
        for update in training:
            watched = watch(averaged, training) if watch else None
            training.step({"bits_per_dim": loss(update, training.samples)}, watched)
            flow.power_iterate(1)
            average_into(averaged, flow, decay=warmed_up(settings.ema, update))
    return averaged


def dequantise(pixels: Tensor, *, levels: int, seed: int, rows: philox.Rows, margin: float = 0.0) -> Tensor:
    """x = (level + u) / levels with u uniform in (0, 1), at least `margin` away from 0 and 1; floating-point pixels."""
    assert pixels.is_floating_point()
    u = philox.uniform(seed, rows, pixels[0].numel(), stream="fit/dequantise", device=pixels.device)
    return ((pixels + u.view_as(pixels).to(pixels.dtype)) / levels).clamp(margin, 1.0 - margin)


def draw_series(
    flow: ResidualFlow, settings: FlowTrainingSettings, update: int, rows: range
) -> tuple[Tensor, SeriesLength]:
    """Random-sign probes (batch, blocks, D) and the length of the series for one update."""
    u = float(philox.uniform(settings.seed, [update], 1, stream="fit/length"))
    length = poisson_length(u, exact=settings.exact_terms, rate=settings.extra_terms)
    return draw_probes(flow, rows, seed=settings.seed, stream="fit/probes"), length


def draw_probes(flow: ResidualFlow, rows: philox.Rows, *, seed: int, stream: str) -> Tensor:
    """Random signs (rows, blocks, D)."""
    blocks, dim = flow.residual_blocks, flow.config.latent_dim
    return philox.signs(seed, rows, blocks * dim, stream=stream).view(len(rows), blocks, dim)


def mean_bits(log_prob: Tensor, *, dim: int, levels: int) -> Tensor:
    """The loss: mean bits per dimension of a batch."""
    return bits_per_dim(log_prob, latent_dim=dim, levels=levels).mean()


class Estimate(NamedTuple):
    """A mean and its standard error."""

    mean: float
    error: float


@torch.no_grad()
def estimated_bits(flow: ResidualFlow, pixels: Tensor, *, levels: int, seed: int = 0) -> Estimate:
    """An unbiased estimate of the bits/dim of images, dequantised once.

    The log-determinant is a series of 20 terms and a Russian-roulette rest, with one probe per image and block, as in
    the published evaluation. The error is that of the mean over batches, in random order, so it covers everything that
    is random.

    Args:
        flow: with converged singular vectors.
        pixels: (N, C, S, S) levels, integer, N > 1.
        levels: grey values.
        seed: of dequantisation, probes and lengths.
    """
    frozen = copy.deepcopy(flow).fold()
    device = next(frozen.parameters()).device
    order = philox.permutation(seed, len(pixels), stream="fit/held-out/order")
    batches = torch.split(order, min(LARGEST, math.ceil(len(pixels) / BATCHES)))
    means = []
    for k, rows in enumerate(batches):
        x = dequantise(pixels[rows.to(pixels.device)].to(device).float(), levels=levels, seed=seed, rows=rows)
        probes = draw_probes(frozen, rows, seed=seed, stream="fit/held-out/probes").to(device)
        u = float(philox.uniform(seed, [k], 1, stream="fit/held-out/length"))
        log_prob = frozen.log_prob(x, probes, poisson_length(u, exact=EXACT_TERMS, rate=EXTRA_TERMS))
        means.append(float(mean_bits(log_prob, dim=frozen.config.latent_dim, levels=levels)))
    weights = torch.tensor([len(rows) for rows in batches], dtype=torch.float64) / len(pixels)
    bits = torch.tensor(means, dtype=torch.float64)
    mean = float((weights * bits).sum())
    spread = float((weights * (bits - mean).square()).sum())
    return Estimate(mean, math.sqrt(spread / max(1, len(means) - 1)))
