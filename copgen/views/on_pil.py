"""T_x with torchvision on one PIL image: the recipe that people have, with copgen's parameters.

PIL rounds to 8 bits after every step, and hue to 1/255 of the circle, so these views differ from those of tensors by
about a grey level. It is here for comparison; augmentation.py is faster and differentiable.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from copgen.runtime.errors import UsageError
from copgen.views.colour import ORDERS
from copgen.views.drawing import Draw
from copgen.views.policies import Policy
from copgen.views.rand_augment import Operation, operations

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
_BILINEAR = TF.InterpolationMode.BILINEAR


def check_policy(policy: Policy) -> None:
    """Raises UsageError if PIL cannot make the policy's views."""
    if not policy.antialias and policy.size is not None:
        raise UsageError(
            f"The view policy '{policy.name}' resizes without antialiasing; PIL always has it.",
            fix="Use --loader torch.",
        )


def view_of(picture: Image.Image, policy: Policy, drawn: Draw) -> Tensor:
    """The view (C, S, S), float32, of an image of mode L or RGB.

    Args:
        picture: the image.
        policy: T_x.
        drawn: its parameters, of this image alone (N = 1).
    """
    channels = len(picture.getbands())
    size = (picture.height, picture.width) if policy.size is None else (policy.size, policy.size)
    if policy.affine is not None:
        picture = _mapped(picture, drawn, round(255 * policy.affine.fill))
    box = drawn.crop
    corner_and_sides = [int(side) for side in (box.top, box.left, box.height, box.width)]
    if corner_and_sides != [0, 0, *size]:
        picture = TF.resized_crop(picture, *corner_and_sides, list(size), _BILINEAR)
    if box.flip:
        picture = TF.horizontal_flip(picture)
    if policy.jitter is not None and drawn.colour.jitter:
        picture = _jittered(picture, drawn)
    if policy.blur is not None and drawn.blur.happens:
        windows = [2 * int(policy.blur.kernel * side / 2) + 1 for side in reversed(size)]
        picture = TF.gaussian_blur(picture, windows, [float(drawn.blur.sigma)] * 2)
    if policy.rand_augment is not None:
        fill = tuple(round(255 * value) for value in policy.rand_augment.fill)
        for operation in operations(drawn.rand_augment)[0]:
            picture = _changed(picture, operation, fill)
    if policy.grayscale > 0 and drawn.colour.grayscale and channels == 3:
        picture = TF.rgb_to_grayscale(picture, 3)
    view: Tensor = TF.to_dtype(TF.pil_to_tensor(picture), torch.float32, scale=True)
    if policy.normalise is not None:
        view = TF.normalize(view, list(policy.normalise.mean), list(policy.normalise.std))
    return view


def _mapped(picture: Image.Image, drawn: Draw, fill: int) -> Image.Image:
    draw = drawn.affine
    moved: Image.Image = TF.affine(
        picture,
        angle=float(draw.angle),
        translate=[float(draw.shift_x), float(draw.shift_y)],
        scale=float(draw.scale),
        shear=[0.0, 0.0],
        interpolation=_BILINEAR,
        fill=[fill] * len(picture.getbands()),
    )
    return moved


def _jittered(picture: Image.Image, drawn: Draw) -> Image.Image:
    colour = drawn.colour
    steps = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    factors = (colour.brightness, colour.contrast, colour.saturation, colour.hue)
    for step in ORDERS[int(colour.order)]:
        picture = steps[step](picture, float(factors[step]))
    return picture


def _changed(picture: Image.Image, operation: Operation, fill: tuple[int, ...]) -> Image.Image:
    """One operation of RandAugment."""
    geometry = operation.affine(picture.height, picture.width)
    if geometry is not None:
        outside = fill if len(fill) > 1 else fill[0]
        kind, smooth = Image.Transform.AFFINE, Image.Resampling.BILINEAR
        return picture.transform(picture.size, kind, geometry, smooth, fillcolor=outside)
    added = [level + operation.added * (level < 128) for level in range(256)]
    steps: dict[str, Callable[[Image.Image], Image.Image]] = {
        "autocontrast": ImageOps.autocontrast,
        "equalize": ImageOps.equalize,
        "invert": ImageOps.invert,
        "posterize": lambda image: image.point(_posterized(operation.bits) * len(fill)),
        "solarize": lambda image: ImageOps.solarize(image, operation.threshold),
        "solarize-add": lambda image: image.point([min(level, 255) for level in added] * len(fill)),
        "colour": lambda image: ImageEnhance.Color(image).enhance(operation.factor),
        "contrast": lambda image: ImageEnhance.Contrast(image).enhance(operation.factor),
        "brightness": lambda image: ImageEnhance.Brightness(image).enhance(operation.factor),
        "sharpness": lambda image: ImageEnhance.Sharpness(image).enhance(operation.factor),
    }
    return steps[operation.name](picture)


def _posterized(bits: int) -> list[int]:
    """The table that keeps the high bits; PIL's own function has no 0 bits."""
    return [level & ~((1 << (8 - bits)) - 1) for level in range(256)]
