"""The update step of the authors' code: BigBiGAN with spectral norm at every call, T_x image by image.

Reimplemented: two Adam optimizers; f first, on detached images, then T_z against the updated f; per-image torchvision
transforms in a loop (without antialiasing of tensors, as in torchvision at the time), stacked and moved back to the
device; gradients of the generator's weights; the contrastive loss with its logits in memory.

Legend: K batch size; z (K, dim); x, x' images in [-1, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from benchmarks import generators_reference as reference
from benchmarks import generators_weights
from benchmarks.views import torchvision_transform

TEMPERATURE, BASE_TEMPERATURE = 0.1, 0.07


class AuthorsGenerator:
    """BigBiGAN's reference network; `parameters` are all weights and biases, which require gradients."""

    def __init__(self, weights: Path, device: torch.device) -> None:
        tensors, self.config = generators_weights.published("bigbigan", weights)
        self.tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        self.latent_dim: int = self.config.latent_dim
        learned = [tensor for name, tensor in self.tensors.items() if name.endswith((".weight", ".bias"))]
        self.parameters = [tensor.requires_grad_() for tensor in learned]

    def __call__(self, z: Tensor) -> Tensor:
        y = self.tensors["shared.weight"][torch.zeros(len(z), dtype=torch.int64, device=z.device)]
        return reference.biggan(self.tensors, self.config, z, y)


class AuthorsStep:
    """One update: call it with z (K, dim)."""

    def __init__(self, G: AuthorsGenerator, device: torch.device) -> None:
        self.G, self.device, dim = G, device, G.latent_dim
        self.T_z = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)).to(device)
        self.f = resnet18(num_classes=512)
        self.f.fc = cast("nn.Linear", nn.Sequential(nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Linear(512, 128)))
        self.f.to(device).train()
        self.ascend = torch.optim.Adam(self.T_z.parameters(), lr=1e-5, betas=(0.5, 0.999))
        self.descend = torch.optim.Adam(self.f.parameters(), lr=3e-5, betas=(0.5, 0.999))
        self.T_x = torchvision_transform(128, antialias=False)

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
