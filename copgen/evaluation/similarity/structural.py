"""MS-SSIM, multi-scale structural similarity (Wang, Simoncelli and Bovik 2003): needs no weights.

SSIM of a window compares luminance, contrast and structure of two images:

    l = (2 mu_x mu_y + C1) / (mu_x^2 + mu_y^2 + C1)          C1 = (0.01 L)^2, L = 2: the range of [-1, 1]
    cs = (2 s_xy + C2) / (s_x^2 + s_y^2 + C2)                C2 = (0.03 L)^2

with the means, variances and covariance under a Gaussian of standard deviation 1.5. Their means over the windows of an
image, cs at each scale and l cs at the last, are raised to the published exponents and multiplied; those below 0 count
as 0, as they have no such power.

The published measure has five scales, each of half the side, and windows of 11 pixels: it needs images of 176 pixels.
Here smaller images have the scales whose side is at least that of a window, with the exponents of these scales divided
by their sum. Images below 22 pixels have one scale: plain SSIM, which may be negative. Those below 11 have a window of
the largest odd side that fits. From 176 pixels on it is the published measure.

Legend: N images, S scales.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.runtime.errors import UsageError

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5  # pixels
RANGE = 2.0
C1, C2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
SMALLEST = 8  # pixels


@dataclass(frozen=True)
class StructuralSimilarity:
    """MS-SSIM, 0 to 1, or -1 to 1 for images below 22 pixels; 1 for equal images. It is differentiable."""

    name: str = "ms-ssim"
    text: str = "MS-SSIM of the pixels; no weights"
    inputs: dict[str, str] = field(default_factory=dict)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(N,); errors as `ms_ssim`."""
        return ms_ssim(x, y)


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """MS-SSIM (N,) of images (N, C, H, W) in [-1, 1], in their dtype; of RGB the mean over the channels at each scale.

    Raises:
        UsageError: images of fewer than 8 pixels.
    """
    check_side(side := min(x.shape[-2:]))
    exponents = EXPONENTS[: scales(side)]
    total, found = sum(exponents), x.new_ones(len(x))
    for exponent in exponents[:-1]:
        _, structure = _windows(x, y)
        found = found * _power(structure.mean(dim=(1, 2, 3)), exponent / total)
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    luminance, structure = _windows(x, y)
    coarsest = (luminance * structure).mean(dim=(1, 2, 3))
    return coarsest if len(exponents) == 1 else found * _power(coarsest, exponents[-1] / total)


def _power(mean: Tensor, exponent: float) -> Tensor:
    """mean ** exponent, and 0 below 0, where the gradient is 0 and not NaN."""
    positive = mean > 0.0
    return torch.where(positive, torch.where(positive, mean, 1.0) ** exponent, 0.0)


def check_side(side: int) -> None:
    """Refuse images of fewer than 8 pixels (UsageError)."""
    if side < SMALLEST:
        raise UsageError(
            f"MS-SSIM needs images of {SMALLEST} pixels or more; these have {side}.",
            fix="Choose another measure with --similarity.",
        )


def scales(side: int) -> int:
    """S for images of this side, pixels: 1 to 5."""
    fitting = [s for s in range(2, len(EXPONENTS) + 1) if side >> (s - 1) >= WINDOW]
    return max(fitting, default=1)


def _windows(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """l and cs of every whole window, (N, C, H', W') each."""
    side = min(WINDOW, *x.shape[-2:])
    side -= 1 - side % 2
    rows, columns = (_means(length, side, like=x) for length in x.shape[-2:])

    def mean(values: Tensor) -> Tensor:
        return rows @ values @ columns.T

    mu_x, mu_y = mean(x), mean(y)
    variances = (mean(x * x + y * y) - mu_x**2 - mu_y**2).clamp(min=0.0)
    covariance = mean(x * y) - mu_x * mu_y
    luminance = (2.0 * mu_x * mu_y + C1) / (mu_x**2 + mu_y**2 + C1)
    return luminance, (2.0 * covariance + C2) / (variances + C2)


def _means(length: int, side: int, *, like: Tensor) -> Tensor:
    """(length - side + 1, length): row i has the Gaussian's weights of the window that starts at i.

    On the CPU a product with this matrix is several times faster than a convolution of each channel by itself.
    """
    places = torch.arange(side, dtype=torch.float64) - side // 2
    weights = torch.exp(-(places**2) / (2.0 * SIGMA**2))
    rows = torch.zeros(length - side + 1, length, dtype=torch.float64)
    for start, row in enumerate(rows):
        row[start : start + side] = weights / weights.sum()
    return rows.to(like)
