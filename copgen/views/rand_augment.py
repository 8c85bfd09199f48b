"""RandAugment (Cubuk et al. 2020) as in InfoMin's augmentation: a few random operations, on images of 8 bits.

Fifteen operations, as in timm's `rand-n2-m10-mstd0.5`: those on grey levels are tables of 8-bit values, so images are
rounded to 8 bits first and the result is not differentiable. Strengths grow with a level in [0, 10]. The geometry is
bilinear, without PIL's occasional bicubic.

Legend: N images, C channels, H x W pixels, L operations one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

OPERATIONS = (
    *("autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize-add", "colour", "contrast"),
    *("brightness", "sharpness", "shear-x", "shear-y", "translate-x", "translate-y"),
)
LARGEST_LEVEL = 10.0

Affine = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class RandAugmentDraw:
    """The operations of each image in order, each (N, L)."""

    operation: Tensor  # int64, index in OPERATIONS
    happens: Tensor  # bool
    level: Tensor  # float64, strength in [0, 10]
    sign: Tensor  # float64, -1 or 1: the direction of rotations, shears and translations


@dataclass(frozen=True)
class Operation:
    """One operation as Python numbers."""

    name: str
    level: float
    sign: float

    @property
    def factor(self) -> float:
        """Of colour, contrast, brightness and sharpness; 1 changes nothing."""
        return 0.1 + 1.8 * self.level / LARGEST_LEVEL

    @property
    def bits(self) -> int:
        """High bits that posterize keeps."""
        return int(4 * self.level / LARGEST_LEVEL)

    @property
    def threshold(self) -> int:
        """Grey level from which solarize inverts."""
        return int(256 * self.level / LARGEST_LEVEL)

    @property
    def added(self) -> int:
        """What solarize-add adds to the levels below 128."""
        return int(110 * self.level / LARGEST_LEVEL)

    def affine(self, height: int, width: int) -> Affine | None:
        """The map from an output position to its source, pixels from the upper left corner; None: not geometric.

        (a, b, c, d, e, f) stands for x' = a x + b y + c and y' = d x + e y + f, as in PIL.
        """
        strength = self.sign * self.level / LARGEST_LEVEL
        if self.name == "rotate":
            angle = -math.radians(30 * strength)
            cos, sin, x, y = math.cos(angle), math.sin(angle), width / 2, height / 2
            return (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y)
        maps: dict[str, Affine] = {
            "shear-x": (1, 0.3 * strength, 0, 0, 1, 0),
            "shear-y": (1, 0, 0, 0.3 * strength, 1, 0),
            "translate-x": (1, 0, 0.45 * strength * width, 0, 1, 0),
            "translate-y": (1, 0, 0, 0, 1, 0.45 * strength * height),
        }
        return maps.get(self.name)


def operations(draw: RandAugmentDraw) -> list[list[Operation]]:
    """For each image the operations that happen, in order."""
    fields = (draw.operation, draw.happens, draw.level, draw.sign)
    return [
        [
            Operation(OPERATIONS[number], level, sign)
            for number, happens, level, sign in zip(*image, strict=True)
            if happens
        ]
        for image in zip(*(field.tolist() for field in fields), strict=True)
    ]


def rand_augment(images: Tensor, draw: RandAugmentDraw, *, fill: Sequence[float]) -> Tensor:
    """Apply each image's operations; an image without any is unchanged.

    Args:
        images: (N, C, H, W) in [0, 1], C = 1 or 3.
        draw: the operations.
        fill: the value outside the image, in [0, 1], of each channel.

    Returns:
        (N, C, H, W) in [0, 1]; whole levels of 8 bits in the images that were changed. Not differentiable.
    """
    changed = images.clone()
    outside = (images.new_tensor(fill) * 255).round()[:, None, None]
    for image, result, chosen in zip(images, changed, operations(draw), strict=True):
        if chosen:
            levels = _to_levels(image * 255)
            for operation in chosen:
                levels = _run(levels, operation, outside)
            result.copy_(levels.to(images.dtype) / 255)
    return changed


def _run(levels: Tensor, operation: Operation, outside: Tensor) -> Tensor:
    """One operation on one image, uint8 (C, H, W)."""
    import torchvision.transforms.functional as TF  # slow to import, and only InfoMin's policy needs it

    geometry = operation.affine(*levels.shape[1:])
    if geometry is not None:
        return _moved(levels, geometry, outside)
    steps: dict[str, Callable[[Tensor], Tensor]] = {
        "autocontrast": TF.autocontrast,
        "equalize": TF.equalize,
        "invert": TF.invert,
        "posterize": lambda x: TF.posterize(x, operation.bits),
        "solarize": lambda x: torch.where(x.int() < operation.threshold, x, 255 - x),
        "solarize-add": lambda x: torch.where(x < 128, (x.int() + operation.added).clamp(max=255).to(x.dtype), x),
        "colour": lambda x: TF.adjust_saturation(x, operation.factor),
        "contrast": lambda x: TF.adjust_contrast(x, operation.factor),
        "brightness": lambda x: TF.adjust_brightness(x, operation.factor),
        "sharpness": lambda x: TF.adjust_sharpness(x, operation.factor),
    }
    return steps[operation.name](levels)


def _moved(levels: Tensor, geometry: Affine, outside: Tensor) -> Tensor:
    """Bilinear, with the nearest pixels at the edge; where the source is outside the image, `outside` (C, 1, 1)."""
    a, b, c, d, e, f = geometry
    height, width = levels.shape[1:]
    y, x = (torch.arange(side, dtype=torch.float64, device=levels.device) + 0.5 for side in (height, width))
    source_x = a * x + b * y[:, None] + c
    source_y = d * x + e * y[:, None] + f
    places = torch.stack((source_x * (2 / width) - 1, source_y * (2 / height) - 1), dim=2).to(outside.dtype)
    image = levels.to(outside.dtype)[None]
    moved = F.grid_sample(image, places[None], mode="bilinear", padding_mode="border", align_corners=False)[0]
    inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    return _to_levels(torch.where(inside, moved, outside))


def _to_levels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)
