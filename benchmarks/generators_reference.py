"""The forward passes as in the reference networks, for comparison.

Sigma is recomputed at every call and layer; upsampling comes before the convolution; batch norm, gain and bias are
separate steps. Each takes the tensors of a published checkpoint, or the flow itself, and returns the same as the
generator in `copgen`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.generators.biggan import BigGANConfig
from copgen.generators.biggan_deep import BigGANDeepConfig
from copgen.generators.protocol import Generator
from copgen.generators.residual_flow.inversion import FixedPoint
from copgen.generators.residual_flow.lipschitz import SpectralBound
from copgen.generators.residual_flow.model import ResidualBlock

Tensors = Mapping[str, Tensor]


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _attention(x: Tensor, gamma: Tensor, theta: Tensor, phi: Tensor, g: Tensor, o: Tensor) -> Tensor:
    queries = F.conv2d(x, theta).flatten(2)
    keys, values = (F.max_pool2d(F.conv2d(x, weight), 2).flatten(2) for weight in (phi, g))
    attended = F.softmax(queries.transpose(1, 2) @ keys, dim=-1)
    out = (values @ attended.transpose(1, 2)).view(x.shape[0], -1, *x.shape[2:])
    moved: Tensor = gamma * F.conv2d(out, o)
    return x + moved


def sigma(W: Tensor, u: Tensor, eps: float) -> Tensor:
    """The spectral norm by one power iteration from the stored vector, which has no gradient."""
    with torch.no_grad():
        v = F.normalize(u @ W, eps=eps)
        u = F.normalize(v @ W.t(), eps=eps)
    return (v @ W.t() @ u.t()).squeeze()


def biggan(tensors: Tensors, config: BigGANConfig, z: Tensor, y: Tensor) -> Tensor:
    """BigBiGAN and IC-GAN: z (N, latent_dim), y (N, Y)."""

    def weight(name: str) -> Tensor:
        w, u = tensors[f"{name}.weight"], tensors[f"{name}.u0"]
        return w / sigma(w.flatten(1), u, config.spectral_eps)

    def conv(x: Tensor, name: str) -> Tensor:
        w = weight(name)
        return F.conv2d(x, w, tensors.get(f"{name}.bias"), padding=w.shape[-1] // 2)

    def norm(x: Tensor, c: Tensor, name: str) -> Tensor:
        mean, var = tensors[f"{name}.stored_mean"], tensors[f"{name}.stored_var"]
        gain, bias = (F.linear(c, weight(f"{name}.{part}"))[:, :, None, None] for part in ("gain", "bias"))
        return F.batch_norm(x, mean, var, eps=config.norm_eps) * (1 + gain) + bias

    chunks = torch.split(z, config.chunk, dim=1)
    x = F.linear(chunks[0], weight("linear"), tensors["linear.bias"]).view(z.shape[0], -1, 4, 4)
    for i in range(config.blocks):
        c, name = torch.cat((y, chunks[i + 1]), dim=1), f"blocks.{i}.0"
        h = conv(_up(F.relu(norm(x, c, f"{name}.bn1"))), f"{name}.conv1")
        h = conv(F.relu(norm(h, c, f"{name}.bn2")), f"{name}.conv2")
        x = h + conv(_up(x), f"{name}.conv_sc")
        if i == config.attention:
            name = f"blocks.{i}.1"
            x = _attention(
                x, tensors[f"{name}.gamma"], *(weight(f"{name}.{layer}") for layer in ("theta", "phi", "g", "o"))
            )
    last = [tensors[f"output_layer.0.{key}"] for key in ("stored_mean", "stored_var", "gain", "bias")]
    x = F.relu(F.batch_norm(x, last[0], last[1], last[2], last[3], eps=1e-5))
    return torch.tanh(conv(x, "output_layer.2"))


def biggan_deep(tensors: Tensors, config: BigGANDeepConfig, z: Tensor, classes: Tensor) -> Tensor:
    """BigGAN-deep at truncation 1: z (N, z_dim), classes (N,)."""

    def weight(name: str) -> Tensor:
        w = tensors[f"{name}.weight_orig"]
        return w / torch.dot(tensors[f"{name}.weight_u"], torch.mv(w.flatten(1), tensors[f"{name}.weight_v"]))

    def conv(x: Tensor, name: str) -> Tensor:
        w = weight(name)
        return F.conv2d(x, w, tensors.get(f"{name}.bias"), padding=w.shape[-1] // 2)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = tensors[f"{name}.running_means"][-1], tensors[f"{name}.running_vars"][-1]
        gain, bias = (F.linear(c, weight(f"{name}.{part}"))[:, :, None, None] for part in ("scale", "offset"))
        return F.batch_norm(x, mean, var, eps=config.eps) * (1 + gain) + bias

    c = torch.cat((z, tensors["embeddings.weight"].t()[classes]), dim=1)
    x = F.linear(c, weight("generator.gen_z"), tensors["generator.gen_z.bias"])
    x = x.view(z.shape[0], 4, 4, -1).permute(0, 3, 1, 2).contiguous()
    blocks, position = config.blocks(), config.attention_layer_position
    for at in range(len(blocks) + 1):
        name = f"generator.layers.{at}"
        if at == position:
            layers = (f"{name}.snconv1x1_{layer}" for layer in ("theta", "phi", "g", "o_conv"))
            x = _attention(x, tensors[f"{name}.gamma"], *map(weight, layers))
            continue
        doubles, _, out = blocks[at]
        h = x
        for i in range(4):
            h = F.relu(norm(h, f"{name}.bn_{i}"))
            h = conv(_up(h) if i == 1 and doubles else h, f"{name}.conv_{i}")
        x = h + (_up(x[:, :out]) if doubles else x[:, :out])
    last = [tensors[f"generator.bn.{key}"] for key in ("running_means", "running_vars", "weight", "bias")]
    x = F.relu(F.batch_norm(x, last[0][-1], last[1][-1], last[2], last[3], eps=config.eps))
    return torch.tanh(conv(x, "generator.conv_to_rgb")[:, :3])


def flow(G: Generator) -> Callable[[Tensor], Tensor]:
    """The images of a Residual Flow, which is modified.

    Every layer computes sigma at every call; the fixed points use plain iteration with our tolerance, so that the
    images are the same.
    """
    for part in G.modules():
        if isinstance(part, SpectralBound):
            part.folded = None
        elif isinstance(part, ResidualBlock):
            part.folded = None
            part.rule = FixedPoint(window=0)

    def images(z: Tensor) -> Tensor:
        found: Tensor = G(z)
        return found

    return images
