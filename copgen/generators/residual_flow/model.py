"""The Residual Flow (Chen et al. 2019): z = F(x) by invertible residual blocks; the generator is its inverse.

The layers, as in the public MNIST model: logit, activation norm, convolutional blocks, squeeze, blocks, ..., and blocks
of linear layers on the flat vector at the end; each block is followed by an activation norm. No latents are factored
out: z has one coordinate per pixel.

Legend: N images, x (N, C, H, W) in [0, 1], z (N, D) with D = C H W; log-densities in nats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from copgen.generators.residual_flow.bijections import ActNorm, Flatten, Logit, Squeeze
from copgen.generators.residual_flow.config import FlowConfig
from copgen.generators.residual_flow.folded import FoldedNet
from copgen.generators.residual_flow.inversion import FixedPoint, Rule, invert_block
from copgen.generators.residual_flow.lipschitz import Folding, LipschitzConv2d, LipschitzLinear, LipSwish, SpectralBound
from copgen.generators.residual_flow.log_det import SeriesLength, exact_log_det, series_log_det


class ResidualBlock(Folding):
    """y = x + g(x), where g = `nnet` has three Lipschitz layers with LipSwish activations."""

    folded: FoldedNet | None

    def __init__(self, nnet: nn.Sequential, rule: Rule) -> None:
        super().__init__()
        self.nnet = nnet
        self.rule = rule
        self.folded = None

    def forward(
        self, x: Tensor, probe: Tensor | None = None, length: SeriesLength | None = None
    ) -> tuple[Tensor, Tensor]:
        """(y, log |det dy/dx| (N,)): exact without a probe, else the power series of the given length."""
        if probe is None or length is None:
            g, log_det = exact_log_det(self.nnet, x)
        else:
            g, log_det = series_log_det(self.nnet, x, probe.view_as(x), length)
        return x + g, log_det

    def inverse(self, y: Tensor) -> Tensor:
        return invert_block(self.folded or self.nnet, y, self.rule)

    def fold(self) -> None:
        """Fix g for the inverse, after its layers were folded; the reference's stop rule uses the layers themselves."""
        self.folded = FoldedNet(self.nnet) if isinstance(self.rule, FixedPoint) else None


def _conv_net(config: FlowConfig, channels: int, size: int, *, leading_activation: bool) -> nn.Sequential:
    width, coeff = config.width, config.coeff
    layers: list[nn.Module] = [
        LipSwish(),
        LipschitzConv2d(channels, width, 3, size=size, coeff=coeff),
        LipSwish(),
        LipschitzConv2d(width, width, 1, size=size, coeff=coeff),
        LipSwish(),
        LipschitzConv2d(width, channels, 3, size=size, coeff=coeff),
    ]
    return nn.Sequential(*(layers if leading_activation else layers[1:]))


def _linear_net(config: FlowConfig) -> nn.Sequential:
    dim, width, coeff = config.latent_dim, config.linear_width, config.coeff
    return nn.Sequential(
        LipSwish(),
        LipschitzLinear(dim, width, coeff=coeff),
        LipSwish(),
        LipschitzLinear(width, width, coeff=coeff),
        LipSwish(),
        LipschitzLinear(width, dim, coeff=coeff),
    )


class _Scale(nn.Module):
    """The steps at one resolution, in order."""

    def __init__(self, steps: list[nn.Module]) -> None:
        super().__init__()
        self.chain = nn.ModuleList(steps)


class ResidualFlow(nn.Module):
    """The flow F with `encode` (x to z), `decode` (z to x) and `log_prob`."""

    def __init__(self, config: FlowConfig, *, rule: Rule | None = None) -> None:
        super().__init__()
        self.config = config
        rule = rule or FixedPoint()
        channels, size = config.channels, config.image_size
        scales: list[nn.Module] = []
        for s, count in enumerate(config.blocks):
            steps: list[nn.Module] = [Logit(config.logit_alpha), ActNorm(channels)] if s == 0 else []
            for b in range(count):
                net = _conv_net(config, channels, size, leading_activation=not (s == 0 and b == 0))
                steps += [ResidualBlock(net, rule), ActNorm(channels)]
            if s + 1 < len(config.blocks):
                steps.append(Squeeze())
                channels, size = 4 * channels, size // 2
            else:
                steps.append(Flatten((channels, size, size)))
                for _ in range(config.linear_blocks):
                    net = _linear_net(config)
                    steps += [ResidualBlock(net, rule), ActNorm(config.latent_dim)]
            scales.append(_Scale(steps))
        self.transforms = nn.ModuleList(scales)

    def steps(self) -> Iterator[nn.Module]:
        """All steps from the image to z."""
        for scale in self.transforms:
            assert isinstance(scale, _Scale)
            yield from scale.chain

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its parameters."""
        return next(self.parameters()).dtype

    @property
    def residual_blocks(self) -> int:
        """Number of steps that take a probe and a series length."""
        return sum(isinstance(step, ResidualBlock) for step in self.steps())

    def encode(
        self, x: Tensor, probes: Tensor | None = None, length: SeriesLength | None = None
    ) -> tuple[Tensor, Tensor]:
        """z = F(x) and log |det dz/dx|.

        Args:
            x: (N, C, H, W) in [0, 1].
            probes: (N, blocks, D) random signs, for the stochastic log-determinant; None computes it exactly.
            length: the series length for the probes.

        Returns:
            z (N, D) and the log-determinant (N,) in nats.
        """
        total = x.new_zeros(x.shape[0])
        block = 0
        for step in self.steps():
            if isinstance(step, ResidualBlock):
                x, log_det = step(x, None if probes is None else probes[:, block], length)
                block += 1
            else:
                x, log_det = step(x)
            total = total + log_det
        return x, total

    def encode_only(self, x: Tensor) -> Tensor:
        """z = F(x) without the log-determinant: (N, C, H, W) -> (N, D)."""
        for step in self.steps():
            x = x + step.nnet(x) if isinstance(step, ResidualBlock) else step(x)[0]
        return x

    def decode(self, z: Tensor) -> Tensor:
        """x = F^-1(z), (N, D) -> (N, C, H, W) in [-a, 1 + a] with a = alpha / (1 - 2 alpha); differentiable."""
        for step in reversed(list(self.steps())):
            z = step.inverse(z)  # type: ignore[operator]
        return z

    def log_prob(
        self,
        x: Tensor,
        probes: Tensor | None = None,
        length: SeriesLength | None = None,
        *,
        prior_scale: float = 1.0,
    ) -> Tensor:
        """log p(x) under the prior N(0, prior_scale^2), (N,) in nats per image; the other arguments as in `encode`."""
        z, log_det = self.encode(x, probes, length)
        log_norm = 0.5 * z.shape[1] * math.log(2.0 * math.pi * prior_scale**2)
        return log_det - 0.5 * (z / prior_scale).square().sum(1) - log_norm

    def lipschitz_layers(self) -> Iterator[SpectralBound]:
        """All layers with a spectral bound."""
        for module in self.modules():
            if isinstance(module, SpectralBound):
                yield module

    def power_iterate(self, rounds: int) -> None:
        """Refine all stored singular vectors."""
        for layer in self.lipschitz_layers():
            layer.power_iterate(rounds)

    def fold(self, *, rounded: bool = False) -> ResidualFlow:
        """Evaluation mode with all bounded weights fixed and no parameter requiring gradients; see `SpectralBound`."""
        self.eval().requires_grad_(False)
        for layer in self.lipschitz_layers():
            layer.fold(rounded=rounded)
        for step in self.steps():
            if isinstance(step, ResidualBlock):
                step.fold()
        return self


def bits_per_dim(log_prob: Tensor, *, latent_dim: int, levels: int) -> Tensor:
    """Bits per pixel of images with `levels` grey values, from log p (N,) in nats of the dequantised x in [0, 1]."""
    return -(log_prob / latent_dim - math.log(levels)) / math.log(2.0)
