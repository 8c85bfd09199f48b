"""The update step of the authors' code: BigBiGAN with spectral norm at every call, T_x image by image.

Reimplemented: two Adam optimizers; f first, on detached images, then T_z against the updated f; per-image torchvision
transforms in a loop (without antialiasing of tensors, as in torchvision at the time), stacked and moved back to the
device; gradients of the generator's weights; the contrastive loss with its logits in memory.

Legend: K batch size; z (K, dim); x, x' images in [-1, 1].
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import transforms
from torchvision.models import resnet18

TEMPERATURE, BASE_TEMPERATURE = 0.1, 0.07
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Spectral:
    """One power iteration from the stored vector at every call, and the division of the weight."""

    def __init__(self, tensors: dict[str, Tensor], name: str) -> None:
        self.weight = nn.Parameter(tensors[f"{name}.weight"].clone())
        self.u = tensors[f"{name}.u0"]
        bias = tensors.get(f"{name}.bias")
        self.bias = None if bias is None else nn.Parameter(bias.clone())

    def __call__(self) -> Tensor:
        W = self.weight.flatten(1)
        with torch.no_grad():
            v = F.normalize(self.u @ W, eps=1e-4)
            u = F.normalize(v @ W.T, eps=1e-4)
        sigma = (v @ W.T @ u.T).squeeze()
        return self.weight / sigma


class AuthorsGenerator:
    """BigBiGAN's network, layer by layer as published; `parameters` are all tensors that require gradients."""

    def __init__(self, tensors: dict[str, Tensor], *, channels: tuple[int, ...], chunk: int, attention: int) -> None:
        self.tensors, self.channels, self.chunk, self.attention = tensors, channels, chunk, attention
        names = [name.removesuffix(".u0") for name in tensors if name.endswith(".u0")]
        self.layers = {name: Spectral(tensors, name) for name in names}
        self.shared = nn.Parameter(tensors["shared.weight"].clone())

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything with a gradient."""
        found = [self.shared]
        for layer in self.layers.values():
            found += [layer.weight] + ([layer.bias] if layer.bias is not None else [])
        return found

    def _conv(self, name: str, x: Tensor) -> Tensor:
        layer = self.layers[name]
        return F.conv2d(x, layer(), layer.bias, padding=layer.weight.shape[-1] // 2)

    def _norm(self, name: str, x: Tensor, condition: Tensor) -> Tensor:
        gain = 1 + condition @ self.layers[f"{name}.gain"]().T
        bias = condition @ self.layers[f"{name}.bias"]().T
        mean, var = self.tensors[f"{name}.stored_mean"], self.tensors[f"{name}.stored_var"]
        x = F.batch_norm(x, mean, var, eps=1e-4)
        return x * gain[:, :, None, None] + bias[:, :, None, None]

    def _block(self, i: int, x: Tensor, condition: Tensor) -> Tensor:
        name = f"blocks.{i}.0"
        h = F.interpolate(F.relu(self._norm(f"{name}.bn1", x, condition)), scale_factor=2)
        h = self._conv(f"{name}.conv1", h)
        h = self._conv(f"{name}.conv2", F.relu(self._norm(f"{name}.bn2", h, condition)))
        return h + self._conv(f"{name}.conv_sc", F.interpolate(x, scale_factor=2))

    def _attend(self, i: int, x: Tensor) -> Tensor:
        name = f"blocks.{i}.1"
        theta = self._conv(f"{name}.theta", x).flatten(2)
        phi = F.max_pool2d(self._conv(f"{name}.phi", x), 2).flatten(2)
        g = F.max_pool2d(self._conv(f"{name}.g", x), 2).flatten(2)
        beta = torch.softmax(theta.transpose(1, 2) @ phi, -1)
        o = (g @ beta.transpose(1, 2)).view(x.shape[0], -1, *x.shape[2:])
        return self.tensors[f"{name}.gamma"] * self._conv(f"{name}.o", o) + x

    def __call__(self, z: Tensor) -> Tensor:
        y = self.shared[torch.zeros(len(z), dtype=torch.int64, device=z.device)]
        parts = torch.split(z, self.chunk, dim=1)
        linear = self.layers["linear"]
        x = F.linear(parts[0], linear(), linear.bias).view(len(z), -1, 4, 4)
        for i in range(len(self.channels) - 1):
            x = self._block(i, x, torch.cat((y, parts[i + 1]), 1))
            if i == self.attention:
                x = self._attend(i, x)
        last = "output_layer.0"
        mean, var, gain, bias = (self.tensors[f"{last}.{key}"] for key in ("stored_mean", "stored_var", "gain", "bias"))
        x = F.relu(F.batch_norm(x, mean, var, gain, bias))
        return torch.tanh(self._conv("output_layer.2", x))


class AuthorsStep:
    """One update: call it with z (K, dim)."""

    def __init__(self, G: AuthorsGenerator, dim: int, device: torch.device) -> None:
        self.G, self.device = G, device
        self.T_z = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)).to(device)
        self.f = resnet18(num_classes=512)
        self.f.fc = cast("nn.Linear", nn.Sequential(nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Linear(512, 128)))
        self.f.to(device).train()
        self.ascend = torch.optim.Adam(self.T_z.parameters(), lr=1e-5, betas=(0.5, 0.999))
        self.descend = torch.optim.Adam(self.f.parameters(), lr=3e-5, betas=(0.5, 0.999))
        self.T_x: Any = transforms.Compose(
            [
                transforms.RandomResizedCrop(128, scale=(0.2, 1.0), antialias=False),
                transforms.RandomHorizontalFlip(),
                transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                transforms.RandomGrayscale(p=0.2),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def views(self, x: Tensor) -> Tensor:
        """T_x of the images, one at a time, stacked on the CPU and moved back."""
        found = torch.zeros(len(x), 3, 128, 128)
        for k, image in enumerate((x + 1) / 2):
            found[k] = self.T_x(image)
        return found.to(self.device)

    def loss(self, v: Tensor, v_pos: Tensor) -> Tensor:
        """Symmetric, with the constant factor, all logits in memory."""
        h = F.normalize(self.f(torch.cat((v, v_pos))), dim=1)
        logits = h @ h.T / TEMPERATURE
        logits = logits - logits.max(1, keepdim=True).values.detach()
        K = len(v)
        others = 1 - torch.eye(2 * K, device=h.device)
        log_p = logits - torch.log((logits.exp() * others).sum(1, keepdim=True))
        same = torch.eye(K, device=h.device).repeat(2, 2) * others
        return -(TEMPERATURE / BASE_TEMPERATURE) * ((same * log_p).sum(1) / same.sum(1)).mean()

    def __call__(self, z: Tensor) -> tuple[float, float]:
        with torch.no_grad():
            x = self.G(z)
        z_pos = z + self.T_z(z)
        x_pos = self.G(z_pos)
        v, v_pos = self.views(x), self.views(x_pos)
        self.descend.zero_grad()
        loss_f = self.loss(v.detach(), v_pos.detach())
        torch.autograd.backward(loss_f)
        self.descend.step()
        self.ascend.zero_grad()
        loss_T = -self.loss(v, v_pos)
        torch.autograd.backward(loss_T)
        self.ascend.step()
        moved = z_pos - z
        _ = (z_pos.mean().item(), z_pos.std().item(), moved.mean().item(), moved.std().item())
        return loss_f.item(), loss_T.item()
