"""The edits of an image that steering imitates: 3-D and 2-D rotation, zoom, shift, colour (GenRep's ranges).

In this order: each colour channel is shifted; the image, a plane seen from as far as its diagonal is long, turns about
its vertical axis, then in itself; the window on it grows or shrinks; and it is shifted. All geometry is one bilinear
resampling. What was outside of the image is masked, and means nothing. (GenRep's code resamples at each step and keeps
the mask of the last one only.)

Legend: N images, C channels, S pixels a side; a slider is an edit's strength as the walk sees it, about -1 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from copgen.runtime import philox

GEOMETRY = ("rotation_3d", "rotation_2d", "zoom", "shift_x", "shift_y")
_DISTANCE = 2.0 * math.sqrt(2.0)  # of the eye: the diagonal, where a side spans [-1, 1]
_NEARLY_EDGE_ON = 1e-3


class EditRanges(BaseModel):
    """How far the edits go; the defaults are GenRep's, made for 256 pixels and given here as shares of the side."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rotation_3d: float = Field(default=60.0, gt=0, lt=90, description="degrees either way, in sixths (GenRep: 60)")
    rotation_2d: float = Field(default=30.0, gt=0, le=180, description="degrees either way, in sixths (GenRep: 30)")
    zoom: float = Field(default=4.0, gt=1, description="the window's side is 1 / this to this image sides (GenRep: 4)")
    shift: float = Field(
        default=100 / 256, gt=0, le=1, description="either way, in tenths, share of the side (GenRep: 100 of 256 px)"
    )
    colour: float = Field(default=0.5, gt=0, le=2, description="either way, of pixels in [-1, 1] (GenRep: 0.5)")


@dataclass(frozen=True)
class EditDraw:
    """One edit per image, (N,) float64 each, colour (N, C)."""

    rotation_3d: Tensor  # degrees; a positive turn takes the right edge away
    rotation_2d: Tensor  # degrees, counter-clockwise
    zoom: Tensor  # side of the window seen, in image sides: below 1 magnifies
    shift_x: Tensor  # to the right, share of the side
    shift_y: Tensor  # down, share of the side
    colour: Tensor  # added to each channel


def names(channels: int) -> tuple[str, ...]:
    """The sliders in order: the geometry, and the colour of each channel."""
    return (*GEOMETRY, *(f"colour_{channel}" for channel in range(channels)))


def draw_edits(
    ranges: EditRanges,
    *,
    channels: int,
    seed: int,
    rows: philox.Rows,
    stream: str,
    device: torch.device | str | None = None,
) -> EditDraw:
    """Random edits; row k is a function of (seed, stream, rows[k]).

    Angles and shifts come from a grid of 13 and 21 values and zooms are below and above 1 equally often (GenRep).
    """
    u = philox.uniform(seed, rows, 6 + channels, stream=stream, device=device)

    def grid(column: int, steps: int) -> Tensor:
        return ((u[:, column] * (2 * steps + 1)).floor() - steps) / steps

    shrinks, within = u[:, 2] < 0.5, u[:, 5]
    zoom = torch.where(shrinks, 1 / ranges.zoom + (1 - 1 / ranges.zoom) * within, 1 + (ranges.zoom - 1) * within)
    return EditDraw(
        rotation_3d=ranges.rotation_3d * grid(0, 6),
        rotation_2d=ranges.rotation_2d * grid(1, 6),
        zoom=zoom,
        shift_x=ranges.shift * grid(3, 10),
        shift_y=ranges.shift * grid(4, 10),
        colour=ranges.colour * (2.0 * u[:, 6:] - 1.0),
    )


def sliders(draw: EditDraw, ranges: EditRanges) -> Tensor:
    """(N, 5 + C): angles and shifts as shares of their ranges, the logarithm of the zoom, the colour as it is."""
    geometry = (
        draw.rotation_3d / ranges.rotation_3d,
        draw.rotation_2d / ranges.rotation_2d,
        draw.zoom.log(),
        draw.shift_x / ranges.shift,
        draw.shift_y / ranges.shift,
    )
    return torch.cat((torch.stack(geometry, dim=1), draw.colour), dim=1)


def edit(images: Tensor, draw: EditDraw) -> tuple[Tensor, Tensor]:
    """The edited images (N, C, S, S), and where they mean something: bool (N, 1, S, S).

    Args:
        images: (N, C, S, S) in [-1, 1]; the result may leave that by the shift of the colours.
        draw: the edits.
    """
    coloured = images + draw.colour.to(images.dtype)[:, :, None, None]
    x, y = _sources(draw, images.shape[2])
    inside = (x.abs() <= 1.0) & (y.abs() <= 1.0)
    places = torch.stack((x, y), dim=3).clamp(-2.0, 2.0).to(images.dtype)
    edited = F.grid_sample(coloured, places, mode="bilinear", padding_mode="border", align_corners=False)
    return edited, inside[:, None]


def _sources(draw: EditDraw, side: int) -> tuple[Tensor, Tensor]:
    """Where each output pixel comes from, (N, S, S) each, where a side spans [-1, 1]; 2 for nowhere."""
    device = draw.zoom.device
    centres = (torch.arange(side, dtype=torch.float64, device=device) + 0.5) * (2.0 / side) - 1.0

    def each(values: Tensor) -> Tensor:
        return values[:, None, None]

    zoom = each(draw.zoom)
    x = zoom * (centres[None, None, :] - 2.0 * each(draw.shift_x))
    y = zoom * (centres[None, :, None] - 2.0 * each(draw.shift_y))
    angle = torch.deg2rad(each(draw.rotation_2d))
    x, y = x * torch.cos(angle) - y * torch.sin(angle), x * torch.sin(angle) + y * torch.cos(angle)
    # The plane turned by phi is at depth distance + x sin phi; GenRep moves it back by phi / 5 pixels of 256.
    phi = torch.deg2rad(each(draw.rotation_3d))
    back = each(draw.rotation_3d) * (-2.0 / (5.0 * 256.0))
    across = _DISTANCE * torch.cos(phi) - x * torch.sin(phi)
    seen = across > _NEARLY_EDGE_ON
    plane_x = _DISTANCE * (x - back) / torch.where(seen, across, 1.0)
    plane_y = y * (plane_x * torch.sin(phi) + _DISTANCE) / _DISTANCE
    return torch.where(seen, plane_x, 2.0), torch.where(seen, plane_y, 2.0)
