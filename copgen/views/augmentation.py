"""Apply T_x: v = t(x), the line of Algorithm 1 between the generator and the encoder."""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.runtime import philox
from copgen.runtime.errors import UsageError
from copgen.views.affine import affine
from copgen.views.blur import blur
from copgen.views.colour import change_colours
from copgen.views.crop import crop
from copgen.views.drawing import Draw, draw
from copgen.views.policies import Policy
from copgen.views.rand_augment import rand_augment
from copgen.views.units import normalise, to_unit

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


def augment(images: Tensor, policy: Policy, *, seed: int, rows: philox.Rows, stream: str) -> Tensor:
    """A random view of every image.

    Args:
        images: (N, C, H, W) in [-1, 1], float32 or float64.
        policy: which augmentations, how likely and how strong.
        seed, rows, stream: the parameters of image n are a function of (seed, stream, rows[n]), whatever the batch.

    Returns:
        (N, C, S, S) with S = `policy.size`, or (N, C, H, W) if that is None; in [0, 1], or normalised if the policy
        has a normalisation. Differentiable in the images, unless the policy has RandAugment.

    Raises:
        UsageError: wrong dtype or shape, not one row per image, a channel count that the policy does not support, or
            images that require a gradient and a policy that has none.
    """
    _check(images, policy)
    rows = one_row_each(rows, len(images), None)  # on the CPU if they are given there: so are the draws
    size = (images.shape[2], images.shape[3])
    drawn = draw(policy, seed=seed, rows=rows, stream=stream, size=size, device=images.device)
    return apply(images, policy, drawn)


def apply(images: Tensor, policy: Policy, drawn: Draw) -> Tensor:
    """Augment with parameters that are already drawn; images and result as in `augment`."""
    # Autocast would round the positions of pixels to 8 bits.
    with torch.autocast(images.device.type, enabled=False):
        return recolour(reshape(to_unit(images), policy, drawn), policy, drawn)


def reshape(views: Tensor, policy: Policy, drawn: Draw) -> Tensor:
    """The parts that move pixels: affine map, crop, flip and resize of images (N, C, H, W) in [0, 1]."""
    size = (views.shape[2], views.shape[3]) if policy.size is None else (policy.size, policy.size)
    if policy.affine is not None:
        views = affine(views, drawn.affine, fill=policy.affine.fill)
    if policy.crop is not None or policy.centre is not None or policy.flip > 0 or size != views.shape[2:]:
        views = crop(views, drawn.crop, size=size, antialias=policy.antialias)
    return views


def recolour(views: Tensor, policy: Policy, drawn: Draw) -> Tensor:
    """The parts that follow the crop: colour, blur and normalisation of views (N, C, S, S) in [0, 1]."""
    jitter, grayscale = policy.jitter is not None, policy.grayscale > 0
    greys_last = grayscale and policy.rand_augment is not None
    if jitter or grayscale:
        views = change_colours(views, drawn.colour, jitter=jitter, grayscale=grayscale and not greys_last)
    if policy.blur is not None:
        views = blur(views, drawn.blur, kernel=policy.blur.kernel)
    if policy.rand_augment is not None:
        views = rand_augment(views, drawn.rand_augment, fill=policy.rand_augment.fill)
    if greys_last:
        views = change_colours(views, drawn.colour, jitter=False, grayscale=True)
    return views if policy.normalise is None else normalise(views, policy.normalise)


def plain(images: Tensor, policy: Policy) -> Tensor:
    """Scale and normalise images as the policy's views are, without any augmentation, for evaluation; not resized.

    Args:
        images: (N, C, H, W) in [-1, 1], float32 or float64.

    Returns:
        (N, C, H, W) in [0, 1], or normalised if the policy has a normalisation.

    Raises:
        UsageError: as in `augment`.
    """
    _check(images, policy)
    unit = to_unit(images)
    return unit if policy.normalise is None else normalise(unit, policy.normalise)


def one_row_each(rows: philox.Rows, images: int, device: torch.device | None) -> Tensor:
    """The row numbers (N,) of N images, on a device (None: where they are, the CPU if they are no tensor).

    Raises:
        UsageError: another number of rows.
    """
    rows = philox.as_rows(rows, device)
    if len(rows) != images:
        raise UsageError(f"Got {images} images but {len(rows)} row numbers.", fix="Pass one row per image.")
    return rows


def _check(images: Tensor, policy: Policy) -> None:
    if images.ndim != 4:
        raise UsageError(f"Images of shape {tuple(images.shape)} are not a batch.", fix="Expected (N, C, H, W).")
    if images.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"{images.dtype} images cannot be augmented.", fix="Convert the images to float32.")
    check_channels(images.shape[1], policy)
    if images.requires_grad:
        check_differentiable(policy)


def check_differentiable(policy: Policy) -> None:
    """Raises UsageError if no gradient passes through the policy's views."""
    if not policy.differentiable:
        raise UsageError(
            f"The view policy '{policy.name}' is not differentiable: RandAugment works on 8-bit levels.",
            fix="Choose a policy without RandAugment, such as 'simclr-blur'.",
        )


def check_channels(channels: int, policy: Policy) -> None:
    """Raises UsageError if the policy cannot make views of images with so many channels."""
    if policy.rand_augment is not None and channels != len(policy.rand_augment.fill):
        raise UsageError(
            f"RandAugment of the view policy '{policy.name}' fills {len(policy.rand_augment.fill)} channels; "
            f"the images have {channels}.",
            fix="Choose another policy, or set one value of 'rand_augment.fill' for each channel.",
        )
    expected = channels if policy.normalise is None else len(policy.normalise.mean)
    if channels != expected:
        raise UsageError(
            f"The view policy '{policy.name}' normalises {expected} channels; the images have {channels}.",
            fix="Choose another policy, or set its 'normalise' to one mean and std for each channel.",
        )
    if (policy.jitter is not None or policy.grayscale > 0) and channels not in (1, 3):
        raise UsageError(
            f"The view policy '{policy.name}' changes colours and needs 1 or 3 channels; the images have {channels}.",
            fix="Choose a policy without jitter and grayscale.",
        )
