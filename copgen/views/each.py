"""Apply T_x to decoded images of different sizes: each is cropped by itself, the rest runs on the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from copgen.pairs.pixels import from_uint8
from copgen.runtime import philox
from copgen.runtime.errors import UsageError
from copgen.views import in_one_pass
from copgen.views.augmentation import apply, check_channels, one_row_each, recolour, reshape
from copgen.views.crop import boxes_of
from copgen.views.crop_in_cache import Box, view_of
from copgen.views.drawing import Draw, draw
from copgen.views.policies import Policy
from copgen.views.schedule import image_by_image
from copgen.views.units import to_unit


def augment_each(images: Sequence[Tensor], policy: Policy, *, seed: int, rows: philox.Rows, stream: str) -> Tensor:
    """A random view of every image: the views that `augment` makes of each, as one batch. Not differentiable.

    Args:
        images: N of (C, H, W), uint8, on one device; H and W may differ.
        policy: has a `size`, unless all images have the same.
        seed, rows, stream: as in `augment`.

    Returns:
        (N, C, S, S) as from `augment`, float32.

    Raises:
        UsageError: as in `augment`, or images of several sizes and a policy without a size.
    """
    _check(images, policy)
    rows = one_row_each(rows, len(images), images[0].device)
    sizes = rows.new_tensor([image.shape[1:] for image in images])
    drawn = draw(policy, seed=seed, rows=rows, stream=stream, size=sizes, device=rows.device)
    return apply_each(images, policy, drawn)


@torch.no_grad()
def apply_each(images: Sequence[Tensor], policy: Policy, drawn: Draw) -> Tensor:
    """Augment with parameters that are already drawn; images and result as in `augment_each`."""
    if in_one_pass.is_possible(images, policy):
        return in_one_pass.apply_in_one_pass(images, policy, drawn)
    return apply_in_parts(images, policy, drawn)


def apply_in_parts(images: Sequence[Tensor], policy: Policy, drawn: Draw) -> Tensor:
    """The same in plain PyTorch: the reference."""
    together = policy.affine is not None or not image_by_image(images[0][None])
    if together and len({image.shape for image in images}) == 1:
        return apply(from_uint8(torch.stack(list(images))), policy, drawn)
    # Autocast would round the positions of pixels to 8 bits.
    with torch.autocast(images[0].device.type, enabled=False):
        if policy.affine is not None:
            units = (to_unit(from_uint8(image[None])) for image in images)
            views = torch.cat([reshape(unit, policy, drawn.row(n)) for n, unit in enumerate(units)])
        else:
            pairs = zip(images, boxes_of(drawn.crop), strict=True)
            views = torch.stack([_view(image, box, policy) for image, box in pairs])
        return recolour(views, policy, drawn)


def _view(image: Tensor, box: Box, policy: Policy) -> Tensor:
    """The pixels of the box, (C, S, S) in [0, 1]; only they are converted."""
    size = (image.shape[1], image.shape[2]) if policy.size is None else (policy.size, policy.size)
    unit = to_unit(from_uint8(box.of(image)[0]))
    return view_of(box._replace(top=0, left=0), unit, size=size, antialias=policy.antialias)


def _check(images: Sequence[Tensor], policy: Policy) -> None:
    wrong = next((image for image in images if image.ndim != 3 or image.dtype != torch.uint8), None)
    if wrong is not None or not images:
        found = "no image" if wrong is None else f"{wrong.dtype} of shape {tuple(wrong.shape)}"
        raise UsageError(f"Expected 8-bit images; got {found}.", fix="Pass uint8 tensors of shape (C, H, W).")
    for channels in {image.shape[0] for image in images}:
        check_channels(channels, policy)
    sizes = sorted({tuple(image.shape) for image in images})
    if len(sizes) > 1 and policy.size is None:
        raise UsageError(
            f"The view policy '{policy.name}' keeps the size of images, but there are several: "
            f"{sizes[0]} and {sizes[-1]}.",
            fix="Set the policy's 'size'.",
        )
