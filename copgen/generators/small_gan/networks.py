"""The networks of a small GAN, after DCGAN (Radford et al. 2016): convolutions that double or halve the resolution.

G has batch norms, whose statistics are fixed after training (`fix_statistics`), so that an image depends on its latent
alone. D has none, as R1 keeps it smooth; beside its last features it sees how much they vary over the batch (Karras et
al. 2018), so that it notices if all images look alike.

Legend: N images x (N, C, S, S) in [-1, 1]; z (N, L); logits (N,).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from copgen.generators.small_gan.config import GanConfig, resolutions

SLOPE = 0.2  # of the leaky ReLU
GROUP = 8  # images whose variation is measured together


class GeneratorNetwork(nn.Module):
    """G: z (N, L) -> x (N, C, S, S), through tanh.

    Args:
        config: its architecture.
        channels: C, 1 or 3.
        image_size: S.

    Raises:
        ValueError: as `resolutions`.
    """

    def __init__(self, config: GanConfig, *, channels: int, image_size: int) -> None:
        super().__init__()
        self.config, self.channels, self.image_size = config, channels, image_size
        widths = config.channels(image_size, width=config.width)
        self.start = (widths[0], *2 * resolutions(image_size)[:1])
        self.project = nn.Linear(config.latent_dim, widths[0] * self.start[1] ** 2)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for wide, narrow in pairwise(widths):
            # A batch norm follows, so a bias would have no effect.
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        features = self.project(z).view(-1, *self.start)
        return torch.tanh(self.layers(features))

    @torch.no_grad()
    def fix_statistics(self, latents: Iterable[Tensor]) -> None:
        """Set the statistics of the batch norms to their means over batches of latents, and select evaluation mode."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean of all batches
        self.train()
        for z in latents:
            self(z)
        for norm in norms:
            norm.momentum = 0.1
        self.eval()


class Discriminator(nn.Module):
    """D: x (N, C, S, S) -> logits (N,), positive where images look real. N is less than `GROUP`, or a multiple of it.

    Args:
        config: its architecture.
        channels: C.
        image_size: S.
    """

    def __init__(self, config: GanConfig, *, channels: int, image_size: int) -> None:
        super().__init__()
        widths = config.channels(image_size, width=config.discriminator_width)[::-1]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((channels, *widths)):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.judge = nn.Linear((widths[-1] + 1) * resolutions(image_size)[0] ** 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.layers(x)
        varied = variation(features)[:, None, None, None].expand(-1, 1, *features.shape[2:])
        logits: Tensor = self.judge(torch.cat((features, varied), dim=1).flatten(1))
        return logits[:, 0]


def variation(features: Tensor) -> Tensor:
    """The mean standard deviation of features (N, ...) over the images of each group, repeated for each of them, (N,).

    Groups are interleaved: image n is in group n mod (N / GROUP).
    """
    count = len(features)
    groups = features.view(min(GROUP, count), -1, *features.shape[1:])
    deviation = (groups.var(dim=0, correction=0) + 1e-8).sqrt().flatten(1).mean(dim=1)
    return deviation.repeat(len(groups))
