"""The two players of a GAN: D tells real images from generated ones, and G makes images that D takes for real.

An update: G makes a batch once. D learns from real images and from these, with R1 in every `r1_every`-th update; then
G learns from what D says of the same images. D sees all of them through DiffAugment.

Nothing here synchronises with the device. An update whose losses are not finite is skipped there (training/halt.py).

Legend: K rows; z (K, L); x real and x_fake generated images (K, C, S, S).
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from copgen.generators.small_gan.networks import Discriminator, GeneratorNetwork
from copgen.latents.prior import Prior
from copgen.objectives.adversarial import discriminator_loss, generator_loss, gradient_penalty
from copgen.runtime.seeds import seeded
from copgen.stages.generator.gan.settings import FitGanSettings
from copgen.training.ema import average_into, warmed_up
from copgen.training.halt import Halt
from copgen.training.optimizers import build_optimizer
from copgen.views.diff_augment import diff_augment

LOSSES = ("loss_discriminator", "loss_generator")
PRIOR = Prior()


class Game:
    """The networks, the average of G, and the optimizers."""

    def __init__(self, settings: FitGanSettings, *, channels: int, image_size: int, device: torch.device) -> None:
        self.settings = settings
        shape = {"channels": channels, "image_size": image_size}
        with seeded(settings.seed, "gan"):
            self.G = GeneratorNetwork(settings.network, **shape)
            self.D = Discriminator(settings.network, **shape)
        for network in (self.G, self.D):
            network.to(device).to(memory_format=torch.channels_last).train()
        self.averaged = copy.deepcopy(self.G)
        adam = partial(build_optimizer, "adam", lr=settings.lr, betas=settings.betas, fused=True)
        self.of_G, self.of_D = adam(self.G), adam(self.D)
        self.halt = Halt(device)

    @property
    def state(self) -> dict[str, Any]:
        """The state to checkpoint."""
        return {
            "generator": self.G,
            "averaged": self.averaged,
            "discriminator": self.D,
            "of_generator": self.of_G,
            "of_discriminator": self.of_D,
        }

    def latents(self, rows: range, *, stream: str = "gan/latents") -> Tensor:
        """z of these rows, from the prior."""
        device = next(self.G.parameters()).device
        dim = self.settings.network.latent_dim
        return PRIOR.draw(rows, dim=dim, seed=self.settings.seed, stream=stream, device=device)

    def seen(self, images: Tensor, rows: range, *, by: str) -> Tensor:
        """The images as D sees them; `by` tells the draws of one update apart."""
        return diff_augment(
            images, self.settings.augmentations, seed=self.settings.seed, rows=rows, stream=f"gan/augment/{by}"
        )

    def play(self, x: Tensor, update: int, rows: range) -> dict[str, Tensor]:
        """One update of both networks and of the average of G; its metrics."""
        x_fake = self.G(self.latents(rows))
        metrics = self._discriminate(x, x_fake.detach(), update, rows)
        metrics["loss_generator"] = self._generate(x_fake, rows)
        average_into(self.averaged, self.G, decay=warmed_up(self.settings.ema, update))
        return metrics

    def _discriminate(self, x: Tensor, x_fake: Tensor, update: int, rows: range) -> dict[str, Tensor]:
        settings = self.settings
        penalised = settings.r1 > 0 and update % settings.r1_every == 0
        v = self.seen(x, rows, by="real").requires_grad_(penalised)
        real, fake = self.D(v), self.D(self.seen(x_fake, rows, by="fake"))
        loss = total = discriminator_loss(real, fake)
        metrics = {"loss_discriminator": loss, "logit_real": real.mean(), "logit_fake": fake.mean()}
        if penalised:
            metrics["r1"] = gradient_penalty(real, v)
            total = loss + 0.5 * settings.r1 * settings.r1_every * metrics["r1"]
        self.of_D.zero_grad()
        torch.autograd.backward(total)
        self.halt.where(~total.isfinite())
        self.halt.step(self.of_D)
        return metrics

    def _generate(self, x_fake: Tensor, rows: range) -> Tensor:
        self.D.requires_grad_(False)
        loss = generator_loss(self.D(self.seen(x_fake, rows, by="generator")))
        self.of_G.zero_grad()
        torch.autograd.backward(loss)
        self.D.requires_grad_(True)
        self.halt.where(~loss.isfinite())
        self.halt.step(self.of_G)
        return loss
