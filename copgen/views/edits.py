"""The image edits that steering imitates: 3-D and 2-D rotation, zoom, shift, colour (GenRep's ranges).

They apply in this order: an offset of each colour channel; a 3-D rotation about the vertical axis, with the image as a
plane viewed from the distance of its diagonal; a rotation in the plane; zoom; shift. All geometry is one bilinear
resampling. Pixels that come from outside the image are masked. (GenRep's code resamples at each step and keeps only the
mask of the last one.)

Legend: N images, C channels, S pixels a side; a slider is the strength of an edit that a walk takes, about -1 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.runtime import philox
from copgen.views.edit_ranges import EditRanges

GEOMETRY = ("rotation_3d", "rotation_2d", "zoom", "shift_x", "shift_y")
_DISTANCE = 2.0 * math.sqrt(2.0)  # of the viewer: the diagonal, where a side spans [-1, 1]
_NEARLY_EDGE_ON = 1e-3


@dataclass(frozen=True)
class EditDraw:
    """One edit per image, (N,) float64 each, colour (N, C)."""

    rotation_3d: Tensor  # degrees; positive moves the right edge away from the viewer
    rotation_2d: Tensor  # degrees, counter-clockwise
    zoom: Tensor  # side of the visible window, in image sides; below 1 magnifies
    shift_x: Tensor  # to the right, share of the side
    shift_y: Tensor  # down, share of the side
    colour: Tensor  # added to each channel


def names(channels: int) -> tuple[str, ...]:
    """Names of the sliders in order: the geometry, then the colour of each channel."""
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
    """Sliders (N, 5 + C): angles and shifts divided by their ranges, the logarithm of the zoom, the colour offsets."""
    geometry = (
        draw.rotation_3d / ranges.rotation_3d,
        draw.rotation_2d / ranges.rotation_2d,
        draw.zoom.log(),
        draw.shift_x / ranges.shift,
        draw.shift_y / ranges.shift,
    )
    return torch.cat((torch.stack(geometry, dim=1), draw.colour), dim=1)


def edit(images: Tensor, draw: EditDraw) -> tuple[Tensor, Tensor]:
    """The edited images (N, C, S, S), and the mask of pixels from inside the image: bool (N, 1, S, S).

    Args:
        images: (N, C, S, S) in [-1, 1]; the colour offset may push the result out of that range.
        draw: the edits.
    """
    coloured = images + draw.colour.to(images.dtype)[:, :, None, None]
    x, y = _sources(draw, images.shape[2])
    inside = (x.abs() <= 1.0) & (y.abs() <= 1.0)
    places = torch.stack((x, y), dim=3).clamp(-2.0, 2.0).to(images.dtype)
    edited = F.grid_sample(coloured, places, mode="bilinear", padding_mode="border", align_corners=False)
    return edited, inside[:, None]


def _sources(draw: EditDraw, side: int) -> tuple[Tensor, Tensor]:
    """Source x and y of each output pixel, (N, S, S) each; a side spans [-1, 1], 2 means outside."""
    device = draw.zoom.device
    centres = (torch.arange(side, dtype=torch.float64, device=device) + 0.5) * (2.0 / side) - 1.0

    def per_image(values: Tensor) -> Tensor:
        return values[:, None, None]

    zoom = per_image(draw.zoom)
    x = zoom * (centres[None, None, :] - 2.0 * per_image(draw.shift_x))
    y = zoom * (centres[None, :, None] - 2.0 * per_image(draw.shift_y))
    angle = torch.deg2rad(per_image(draw.rotation_2d))
    x, y = x * torch.cos(angle) - y * torch.sin(angle), x * torch.sin(angle) + y * torch.cos(angle)
    # The plane rotated by phi is at depth distance + x sin phi; GenRep moves it back by phi / 5 pixels of 256.
    phi = torch.deg2rad(per_image(draw.rotation_3d))
    back = per_image(draw.rotation_3d) * (-2.0 / (5.0 * 256.0))
    across = _DISTANCE * torch.cos(phi) - x * torch.sin(phi)
    visible = across > _NEARLY_EDGE_ON
    plane_x = _DISTANCE * (x - back) / torch.where(visible, across, 1.0)
    plane_y = y * (plane_x * torch.sin(phi) + _DISTANCE) / _DISTANCE
    return torch.where(visible, plane_x, 2.0), torch.where(visible, plane_y, 2.0)
