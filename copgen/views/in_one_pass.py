"""Crop, flip, resize, colour and normalisation of 8-bit images in one native pass on the CPU; each.py is the reference.

The kernel (csrc/cpu/views.cpp) holds one image in the cache from its pixels to its view, and is not differentiable. Its
results differ from the reference by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from copgen.runtime.dispatch import choose
from copgen.views.augmentation import recolour
from copgen.views.colour import ORDERS, ColourDraw
from copgen.views.drawing import Draw
from copgen.views.policies import Policy

_NOTHING, _GREY = -1, 4  # steps of the kernel, beside the four of the jitter
PARTS = frozenset(
    [
        "name",
        "affine",
        "crop",
        "centre",
        "flip",
        "jitter",
        "grayscale",
        "blur",
        "rand_augment",
        "normalise",
        "size",
        "antialias",
    ]
)
"""The fields of `Policy` that this backend applies or refuses; a test compares them with all there are."""
_ONE_CHANNEL = 2  # brightness and contrast, the steps that have a meaning for one channel


def is_possible(images: Sequence[Tensor], policy: Policy) -> bool:
    """Whether the kernel can make these views: of 1 or 3 channels, and without an affine map."""
    first = images[0]
    if policy.affine is not None or first.shape[0] not in (1, 3):
        return False
    return choose("views", first.device, first.dtype).name == "native"


def apply_in_one_pass(images: Sequence[Tensor], policy: Policy, drawn: Draw) -> Tensor:
    """The views (N, C, *size), as `apply_each` makes them.

    Args:
        images: N of (C, H, W), uint8, on the CPU; of one size, if the policy has none.
        policy: for which `is_possible` holds.
        drawn: the parameters.
    """
    box, colour, channels = drawn.crop, drawn.colour, images[0].shape[0]
    height, width = images[0].shape[1:] if policy.size is None else (policy.size, policy.size)
    last = policy.blur is None and policy.rand_augment is None
    numbers = policy.normalise if last else None
    scale = [1 / std for std in numbers.std] if numbers else []
    shift = [-mean / std for mean, std in zip(numbers.mean, numbers.std, strict=True)] if numbers else []
    views = torch.ops.copgen.augment_images.default(
        list(images),
        torch.stack((box.top, box.left, box.height, box.width, box.flip.long()), dim=1),
        _steps(policy, colour, channels),
        torch.stack((colour.brightness, colour.contrast, colour.saturation, colour.hue), dim=1),
        height,
        width,
        policy.antialias,
        scale,
        shift,
    )
    if last:
        return cast("Tensor", views)
    greys_later = policy.grayscale if policy.rand_augment is not None else 0.0
    return recolour(views, policy.model_copy(update={"jitter": None, "grayscale": greys_later}), drawn)


def _steps(policy: Policy, colour: ColourDraw, channels: int) -> Tensor:
    """The steps of each image in order, (N, 5) int64."""
    orders = torch.tensor(ORDERS)[colour.order]
    if channels == 1:
        orders = torch.where(orders < _ONE_CHANNEL, orders, _NOTHING)
    jitters = colour.jitter if policy.jitter is not None else torch.zeros_like(colour.jitter)
    greys = colour.grayscale if policy.rand_augment is None and channels == 3 else torch.zeros_like(colour.grayscale)
    return torch.cat(
        (torch.where(jitters[:, None], orders, _NOTHING), torch.where(greys[:, None], _GREY, _NOTHING)), dim=1
    )
