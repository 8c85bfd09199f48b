"""Colour jitter of large images on the CPU: one image at a time, so that it stays in the cache, forward and backward.

A batch does not fit into a CPU's cache, one image does; and since the CPU can read the drawn factors, an image runs
only the steps that apply to it. The steps are those of colour.py, which is the reference. Only the input is saved for
the backward pass, which recomputes an image's steps first. Masks are floats, not booleans: `torch.where` and
comparisons are many times slower on the CPU than arithmetic.

Legend: x one image (C, P) in [0, 1] with P pixels; g the incoming gradient; a program is a list of (step, factor);
c chroma, the largest channel minus the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)

Backward = Callable[[Tensor], Tensor]
Step = Callable[[Tensor, float], tuple[Tensor, Backward]]
Program = Sequence[tuple[Step, float]]

_HUGE = 2.0**100  # times any difference of two channels it is at least 1, and no product overflows
_TINY = 2.0**-100
_CENTRES = (0.0, -1 / 3, 1 / 3)  # minus the hue of red, green and blue, turns


def run(images: Tensor, programs: Sequence[Program]) -> Tensor:
    """Run each image's program; an image with an empty program is unchanged.

    Args:
        images: (N, C, H, W) on the CPU, C = 1 or 3.

    Returns:
        (N, C, H, W), differentiable once in the images.
    """
    changed: Tensor = _Programs.apply(images.contiguous(), programs)
    return changed


class _Programs(torch.autograd.Function):
    @staticmethod
    def forward(images: Tensor, programs: Sequence[Program]) -> Tensor:
        changed = torch.empty_like(images)
        with torch.inference_mode():  # no tensor leaves this block, so autograd need not track any
            _forward(images, changed, programs)
        return changed

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Sequence[Program]], output: Tensor) -> None:
        images, ctx.programs = inputs
        ctx.save_for_backward(images)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (images,) = ctx.saved_tensors
        gradient = gradient.contiguous()
        back = torch.empty_like(gradient)
        with torch.inference_mode():
            _backward(images, gradient, back, ctx.programs)
        return back, None


def _forward(images: Tensor, changed: Tensor, programs: Sequence[Program]) -> None:
    for image, result, program in zip(images.flatten(2), changed.flatten(2), programs, strict=True):
        x = image
        for step, factor in program:
            x, _ = step(x, factor)
        result.copy_(x)


def _backward(images: Tensor, gradient: Tensor, back: Tensor, programs: Sequence[Program]) -> None:
    for image, g, result, program in zip(
        images.flatten(2), gradient.flatten(2), back.flatten(2), programs, strict=True
    ):
        x, backwards = image, []
        for step, factor in program:
            x, step_backward = step(x, factor)
            backwards.append(step_backward)
        for step_backward in reversed(backwards):
            g = step_backward(g)
        result.copy_(g)


def clamp(x: Tensor, _: float = 0.0) -> tuple[Tensor, Backward]:
    """Clamp to [0, 1]; the gradient passes where the value was inside, ends included, as in torch.clamp."""
    clamped = x.clamp(0.0, 1.0)
    # Only this operator is vectorised, but its interval is open: the next numbers outside [0, 1] make it closed.
    below, above = -torch.finfo(x.dtype).smallest_normal, 1.0 + torch.finfo(x.dtype).eps
    return clamped, lambda g: torch.ops.aten.hardtanh_backward(g, x, below, above)


def brightness(x: Tensor, factor: float) -> tuple[Tensor, Backward]:
    """Blend with black."""
    clamped, inside = clamp(x * factor)
    return clamped, lambda g: inside(g).mul_(factor)


def contrast(x: Tensor, factor: float) -> tuple[Tensor, Backward]:
    """Blend with the image's mean grey."""
    weights = _luma(x)[:, None]  # (C, 1)
    mean = (x.mean(dim=1, keepdim=True) * weights).sum()
    clamped, inside = clamp(torch.add(mean * (1.0 - factor), x, alpha=factor))

    def back(g: Tensor) -> Tensor:
        g = inside(g)
        return torch.add(weights * (g.mean() * ((1.0 - factor) * len(x))), g, alpha=factor)

    return clamped, back


def saturation(x: Tensor, factor: float) -> tuple[Tensor, Backward]:
    """Blend with the grey version; three channels."""
    blended, back_grey = greyed(x, factor)
    clamped, inside = clamp(blended)
    return clamped, lambda g: back_grey(inside(g))


def greyed(x: Tensor, kept: float) -> tuple[Tensor, Backward]:
    """Keep the share `kept` of the colour and replace the rest by grey, not clamped; three channels."""
    lost = [(1.0 - kept) * weight for weight in LUMA]
    red, green, blue = x
    grey = (red * lost[0]).add_(green, alpha=lost[1]).add_(blue, alpha=lost[2])

    def back(g: Tensor) -> Tensor:
        through = g * kept
        d_grey = g.sum(dim=0)
        for channel, weight in zip(through, lost, strict=True):
            channel.add_(d_grey, alpha=weight)
        return through

    return torch.add(grey, x, alpha=kept), back


def hue(x: Tensor, turns: float) -> tuple[Tensor, Backward]:
    """Rotate the hue as hue.py does; three channels.

    A hue is |h| = 1 + (green + blue - red - lowest) / c sextants away from red, towards the larger of green and blue,
    which needs no case distinction. A channel is top - c drop, where drop is a ramp of the distance between the hue
    and the channel's own hue: 0 up to one sextant, 1 from two on.
    """
    red, green, blue = x
    top = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = top - low
    side = green - blue
    ratio = (green + blue).sub_(red).sub_(low).div_(chroma + _TINY)
    sextants = torch.copysign(ratio + 1.0, side)
    distance = torch.add(x.new_tensor(_CENTRES).add_(turns)[:, None], sextants, alpha=1 / 6)
    distance.sub_(distance.round())  # turns in [-1/2, 1/2]
    ramp = torch.add(-x.new_ones(()), distance.abs(), alpha=6.0)
    drop = ramp.clamp(0.0, 1.0)

    def back(g: Tensor) -> Tensor:
        slope = torch.ops.aten.hardtanh_backward(distance.sign_(), ramp, 0.0, 1.0)
        # Grey has no hue; below the rounding of 1 a pixel counts as grey, as in hue.py.
        coloured = ((chroma - torch.finfo(x.dtype).eps) * _HUGE).clamp_(0.0, 1.0)
        d_hue = (g * slope).sum(dim=0).mul_(coloured).mul_(side.sign())
        d_top = g.sum(dim=0)
        d_chroma = torch.addcmul((g * drop).sum(dim=0).neg_(), d_hue, ratio)
        through = _shares(top - x).mul_(d_top.add_(d_chroma)).add_(_shares(x - low).mul_(d_hue - d_chroma))
        through[0].add_(d_hue)
        through[1:].sub_(d_hue)
        return through

    return torch.addcmul(top, chroma, drop, value=-1.0), back


def _shares(distances: Tensor) -> Tensor:
    """1 where a channel's distance (3, P) is 0, split evenly where several are 0, and 0 elsewhere; one is always 0."""
    is_zero = torch.add(distances.new_ones(()), distances, alpha=-_HUGE).clamp_(min=0.0)
    return is_zero.div_(is_zero.sum(dim=0))


def _luma(x: Tensor) -> Tensor:
    """The weights of the channels in grey, (C,)."""
    return x.new_tensor(LUMA) if len(x) == 3 else x.new_ones(1)
