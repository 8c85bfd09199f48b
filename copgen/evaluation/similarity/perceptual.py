"""LPIPS, learned perceptual image patch similarity (Zhang et al. 2018): AlexNet, version 0.1, through torchmetrics.

The heads come with torchmetrics, AlexNet's weights from torchvision's address. They are read where torchvision keeps
them, and never downloaded here.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from copgen.data.batches import in_colours
from copgen.runtime.errors import EnvironmentFault
from copgen.storage.files import sha256_of

NAME = "lpips"
FILE = "alexnet-owt-7be5be79.pth"
URL = f"https://download.pytorch.org/models/{FILE}"
SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
SMALLEST = 64  # pixels: AlexNet's last features of less are a single pixel, or none


@dataclass(frozen=True, eq=False)
class PerceptualSimilarity:
    """1 - LPIPS: 1 for equal images; usually above 0. Images below 64 pixels are enlarged to that, bilinearly."""

    network: nn.Module
    device: torch.device
    name: str = NAME
    text: str = "1 - LPIPS (AlexNet), weights from torchvision and torchmetrics"
    inputs: dict[str, str] = field(default_factory=lambda: {FILE: SHA256})

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(N,)."""
        distance: Tensor = self.network(self._prepared(x), self._prepared(y))
        return 1.0 - distance.flatten()

    def _prepared(self, images: Tensor) -> Tensor:
        """(N, 3, H, W), at least 64 pixels high and wide."""
        images = in_colours(images.to(self.device), 3)
        factor = SMALLEST / min(images.shape[-2:])
        if factor <= 1.0:
            return images
        size = [max(SMALLEST, round(side * factor)) for side in images.shape[-2:]]
        return F.interpolate(images, size, mode="bilinear", align_corners=False)


def open_lpips(*, device: torch.device) -> PerceptualSimilarity:
    """The measure, with its weights on the device; errors as `check_lpips`."""
    check_lpips()
    from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

    network: nn.Module = LearnedPerceptualImagePatchSimilarity(net_type="alex").net
    return PerceptualSimilarity(network.to(device), device)


def check_lpips() -> Path:
    """The file of AlexNet's weights, whose hash is that of the published file.

    Raises:
        EnvironmentFault: torchmetrics is not installed, or the file is missing or another; the error has its address.
    """
    if importlib.util.find_spec("torchmetrics") is None:
        raise EnvironmentFault("LPIPS needs the package torchmetrics.", fix="Run: pip install 'copgen[eval]'.")
    file = Path(torch.hub.get_dir(), "checkpoints", FILE)
    if not file.is_file() or sha256_of(file) != SHA256:
        problem = "differs from the published one" if file.exists() else "is missing"
        raise EnvironmentFault(
            f"LPIPS needs the weights of AlexNet; {file} {problem} (sha256 {SHA256}).",
            fix=f"Download {URL} to that place, or choose another measure.",
        )
    return file
