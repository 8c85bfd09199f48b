"""Sample the random parameters of T_x for a batch, as tensors of one value per image.

Row k is a function of (seed, stream, k), the policy and the image size. Every part draws from its own sub-stream, so
switching one part off does not change the others: an ablation without colour sees the same crops.

Legend: N rows; u uniform in (0, 1); A attempts at a box; H, W height and width of each row's image, pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from copgen.runtime import philox
from copgen.runtime.device_copies import to_device
from copgen.views.affine import AffineDraw
from copgen.views.blur import BlurDraw
from copgen.views.colour import ORDERS, ColourDraw
from copgen.views.crop import CropDraw
from copgen.views.policies import AffinePolicy, BlurPolicy, CropPolicy, JitterPolicy, Policy, RandAugmentPolicy
from copgen.views.rand_augment import LARGEST_LEVEL, OPERATIONS, RandAugmentDraw

_ATTEMPTS = 10  # torchvision's
_COLUMNS = {"flip": 1, "grayscale": 1, "crop": 4 * _ATTEMPTS, "jitter": 6, "affine": 4, "blur": 2}
_NO_AFFINE = AffinePolicy(degrees=0, translate=0, scale=(1, 1))
_NO_BLUR = BlurPolicy(probability=0)
_NO_JITTER = JitterPolicy(probability=0, brightness=0, contrast=0, saturation=0, hue=0)
_NO_RAND_AUGMENT = RandAugmentPolicy(probability=0)
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Draw:
    """All parameters of a batch; a part that the policy does not have is the identity."""

    affine: AffineDraw
    crop: CropDraw
    colour: ColourDraw
    blur: BlurDraw
    rand_augment: RandAugmentDraw

    def part(self, rows: slice) -> Draw:
        """The parameters of some of the images."""
        return Draw(**{part.name: _part(getattr(self, part.name), rows) for part in fields(self)})

    def row(self, n: int) -> Draw:
        """The parameters of image n, as those of a batch of one."""
        return self.part(slice(n, n + 1))


def _part(draw: Any, rows: slice) -> Any:
    return replace(draw, **{field.name: getattr(draw, field.name)[rows] for field in fields(draw)})


def draw(
    policy: Policy,
    *,
    seed: int,
    rows: philox.Rows,
    stream: str,
    size: tuple[int, int] | Tensor,
    device: torch.device | str | None = None,
) -> Draw:
    """Draw the parameters of a batch.

    Args:
        seed: the run's seed.
        rows: N row numbers of the run, not of the batch.
        stream: which view, as "view/anchor"; two views of one image come from two streams.
        size: (height, width) of the images, pixels; or of each, (N, 2) int64. A row's draw is that of its own size.
        device: device of the parameters. Those for CUDA are drawn on the CPU, without waiting for the device, where the
            rows and sizes are: as some three hundred operations on a few thousand numbers they would cost a GPU more
            time to launch than to compute.
    """
    inputs = [given.device for given in (rows, size) if isinstance(given, Tensor)]
    place = torch.device(device) if device is not None else next(iter(inputs), torch.device("cpu"))
    if place.type == "cuda" and all(found.type == "cpu" for found in inputs):
        return _moved(draw(policy, seed=seed, rows=rows, stream=stream, size=size, device="cpu"), place)
    layers = policy.rand_augment.layers if policy.rand_augment is not None else 0
    u = philox.uniform_parts(
        seed, rows, {**_COLUMNS, "rand-augment": 4 * layers} if layers else _COLUMNS, stream=stream, device=device
    )
    H, W = (_per_row(size, side, u["flip"]) for side in range(2))
    columns = {part: values.unbind(dim=1) for part, values in u.items()}
    (flip_u,), (grayscale_u,), (blurs, sigma_u) = columns["flip"], columns["grayscale"], columns["blur"]
    top, left, height, width = _boxes(policy, columns["crop"], H, W)
    jitter, blur = _or(policy.jitter, _NO_JITTER), _or(policy.blur, _NO_BLUR)
    happens, order, *factors, hue = columns["jitter"]
    brightness, contrast, saturation = (
        _between(u, 1.0 - strength, 1.0 + strength)
        for u, strength in zip(factors, (jitter.brightness, jitter.contrast, jitter.saturation), strict=True)
    )
    return Draw(
        affine=_maps(_or(policy.affine, _NO_AFFINE), columns["affine"], H, W),
        crop=CropDraw(top=top, left=left, height=height, width=width, flip=flip_u < policy.flip),
        colour=ColourDraw(
            jitter=happens < jitter.probability,
            order=(order * len(ORDERS)).long(),
            brightness=brightness,
            contrast=contrast,
            saturation=saturation,
            hue=_between(hue, -jitter.hue, jitter.hue),
            grayscale=grayscale_u < policy.grayscale,
        ),
        blur=BlurDraw(happens=blurs < blur.probability, sigma=_between(sigma_u, *blur.sigma)),
        rand_augment=_operations(policy.rand_augment, u.get("rand-augment", H.new_zeros((len(H), 0)))),
    )


def _or(part: _Part | None, none: _Part) -> _Part:
    # Not `part or none`: torch 2.11 cannot trace the truth of a pydantic model.
    return none if part is None else part


def _moved(drawn: Draw, device: torch.device) -> Draw:
    """The parameters on a device, by one copy: float64 holds every one of them exactly."""
    parts = [getattr(drawn, part.name) for part in fields(drawn)]
    values: list[Tensor] = [getattr(part, field.name) for part in parts for field in fields(part)]
    columns = [value if value.dim() == 2 else value[:, None] for value in values]
    packed = to_device(torch.cat([column.double() for column in columns], dim=1), device)
    split = torch.split(packed, [column.shape[1] for column in columns], dim=1)
    moved = iter([new.reshape(value.shape).to(value.dtype) for new, value in zip(split, values, strict=True)])
    return Draw(*(replace(part, **{field.name: next(moved) for field in fields(part)}) for part in parts))


def _between(u: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    return low + (high - low) * u


def _per_row(size: tuple[int, int] | Tensor, side: int, like: Tensor) -> Tensor:
    """(N,) float64: heights or widths."""
    return size[:, side].to(like) if isinstance(size, Tensor) else like.new_full((len(like),), size[side])


def _maps(numbers: AffinePolicy, u: tuple[Tensor, ...], H: Tensor, W: Tensor) -> AffineDraw:
    return AffineDraw(
        angle=_between(u[0], -numbers.degrees, numbers.degrees),
        shift_x=_between(u[1], -numbers.translate * W, numbers.translate * W),
        shift_y=_between(u[2], -numbers.translate * H, numbers.translate * H),
        scale=_between(u[3], *numbers.scale),
    )


def _operations(numbers: RandAugmentPolicy | None, u: Tensor) -> RandAugmentDraw:
    numbers = _or(numbers, _NO_RAND_AUGMENT)
    which, happens, level, sign = (u[:, part::4] for part in range(4))  # (N, L) each
    return RandAugmentDraw(
        operation=(which * len(OPERATIONS)).long(),
        happens=happens < numbers.probability,
        level=(numbers.magnitude + numbers.noise * torch.special.ndtri(level)).clamp(0.0, LARGEST_LEVEL),
        sign=torch.where(sign < 0.5, -1.0, 1.0).to(u.dtype),
    )


def _boxes(policy: Policy, u: tuple[Tensor, ...], H: Tensor, W: Tensor) -> tuple[Tensor, ...]:
    """(top, left, height, width), (N,) int64 each: the first of ten random boxes that fits, else the central one."""
    if policy.crop is None:
        return _centre(policy, H, W).long().unbind(dim=1)
    numbers = policy.crop
    full_height, full_width = H[:, None], W[:, None]
    u_area, u_aspect, u_top, u_left = (torch.stack(u[part::4], dim=1) for part in range(4))  # (N, A) each
    area = full_height * full_width * _between(u_area, *numbers.area)
    aspect = torch.exp(_between(u_aspect, math.log(numbers.aspect[0]), math.log(numbers.aspect[1])))
    width, height = torch.sqrt(area * aspect).round(), torch.sqrt(area / aspect).round()
    fits = (width >= 1) & (width <= full_width) & (height >= 1) & (height <= full_height)
    top, left = (u_top * (full_height - height + 1)).floor(), (u_left * (full_width - width + 1)).floor()
    attempt = torch.arange(_ATTEMPTS, device=fits.device)
    first = torch.where(fits, attempt, _ATTEMPTS).amin(dim=1, keepdim=True)  # (N, 1); A where none fits
    drawn = torch.stack((top, left, height, width), dim=2)  # (N, A, 4)
    candidates = torch.cat((drawn, _central_box(numbers, H, W)[:, None]), dim=1)
    return candidates.gather(1, first[:, :, None].expand(-1, -1, 4))[:, 0].long().unbind(dim=1)


def _central_box(numbers: CropPolicy, H: Tensor, W: Tensor) -> Tensor:
    """(top, left, height, width) of the largest central box whose aspect is in the policy's range, (N, 4)."""
    narrowest, widest = numbers.aspect
    height = torch.minimum(H, (W / narrowest).round().clamp(min=1))
    width = torch.minimum(W, (H * widest).round().clamp(min=1))
    return _in_the_middle(height, width, H, W)


def _centre(policy: Policy, H: Tensor, W: Tensor) -> Tensor:
    """(top, left, height, width) of the policy's central box, (N, 4): the whole image if it has none."""
    if policy.centre is None:
        return _in_the_middle(H, W, H, W)
    # Views of a fixed size are square.
    height, width = (H, W) if policy.size is None else (torch.minimum(H, W),) * 2
    height, width = ((policy.centre * side).floor().clamp(min=1) for side in (height, width))
    return _in_the_middle(height, width, H, W)


def _in_the_middle(height: Tensor, width: Tensor, H: Tensor, W: Tensor) -> Tensor:
    return torch.stack((((H - height) / 2).floor(), ((W - width) / 2).floor(), height, width), dim=1)
