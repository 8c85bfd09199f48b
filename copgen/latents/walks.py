"""Walks: directions in latent space that imitate edits of the image (gan_steerability, as GenRep trains them).

edits         z' = z + sum_k s_k w_k with a slider s_k and a vector w_k for each edit (`copgen navigate --objective
              steering`; GenRep's composed walks)
crop-colour   z' = z + MLP(z, crop) + log(b) (w_0 + w_1 + w_2) + h w_3, for a crop (top, left, height, width in pixels
              of 256), a brightness factor b and a turn h of the hue: GenRep's published walk of 320,000 samples
crop-order    z' = MLP(z, crop, which of four colour changes came last): its published walk of 200,000 samples

In both published walks the MLP is Linear - ReLU - Linear. The first has one vector each for brightness, contrast and
saturation, but was trained with log(brightness) on all three: they differ only by their initialisation (sqrt(2) times
0.1). It is applied here as it was trained.

Legend: K rows; d coordinates; s (K, D) sliders; w (D, d).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from copgen.latents.genrep import GENREP_GAIN
from copgen.latents.run_files import WALK, walk_file
from copgen.latents.streams import stream_of
from copgen.runtime import philox
from copgen.runtime.errors import DataError
from copgen.runtime.path_errors import path_errors
from copgen.storage.tensors import load_into, load_tensors, save_tensors
from copgen.views import draw as draw_views
from copgen.views import policy
from copgen.views.edit_ranges import EditRanges
from copgen.views.edits import draw_edits, sliders

FILE_NAME = WALK
KIND = "walk"
Form = Literal["edits", "crop-colour", "crop-order"]
_SIDE = 256  # pixels, of the generator that GenRep's published walks belong to
_EXTRA = {"crop-colour": 4, "crop-order": 8}


class Walk(nn.Module):
    """The weights of a walk, and z' for random edits of each row.

    Args:
        form: edits, crop-colour or crop-order.
        latent_dim: d.
        channels: channels of the images; there is one colour edit for each.
        ranges: ranges of the edits in training.
    """

    def __init__(self, form: Form, latent_dim: int, *, channels: int = 3, ranges: EditRanges | None = None) -> None:
        super().__init__()
        self.form: Form = form
        self.latent_dim = latent_dim
        self.channels = channels
        self.ranges = ranges or EditRanges()
        count = {"edits": 5 + channels, "crop-colour": 4, "crop-order": 0}[form]
        self.directions = nn.Parameter(torch.zeros(count, latent_dim))
        if form in _EXTRA:
            width = latent_dim + _EXTRA[form]
            self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, latent_dim))

    def steer(self, z: Tensor, strengths: Tensor) -> Tensor:
        """z' = z + sum of strengths times directions, for z (K, d) and strengths (K, D); only for form `edits`."""
        steered: Tensor = z + strengths.to(z.dtype) @ self.directions.to(z.dtype)
        return steered

    def forward(self, z: Tensor, *, seed: int, rows: philox.Rows, which: int = 0, gain: float = GENREP_GAIN) -> Tensor:
        """z' (K, d) for random edits of z (K, d); row k is a function of z and of (seed, which, rows[k]).

        Args:
            z: latents.
            seed, rows, which: decide the edits.
            gain: factor on the 3-D rotation; only for form `edits`.
        """
        stream = stream_of("steering", which)
        if self.form == "edits":
            drawn = draw_edits(
                self.ranges, channels=self.channels, seed=seed, rows=rows, stream=stream, device=z.device
            )
            strengths = sliders(drawn, self.ranges)
            factors = torch.ones(strengths.shape[1], dtype=strengths.dtype, device=z.device)
            factors[0] = gain
            return self.steer(z, strengths * factors)
        drawn_view = draw_views(
            policy("simclr"), seed=seed, rows=rows, stream=stream, size=(_SIDE, _SIDE), device=z.device
        )
        crop, colour = drawn_view.crop, drawn_view.colour
        box = torch.stack((crop.top, crop.left, crop.height, crop.width), dim=1).to(z.dtype)
        if self.form == "crop-colour":
            brightness, hue = colour.brightness.log().to(z.dtype)[:, None], colour.hue.to(z.dtype)[:, None]
            steps = brightness * self.directions[:3].sum(0) + hue * self.directions[3]
            cropped: Tensor = z + self.layers(torch.cat((z, box), dim=1))
            return cropped + steps
        u = philox.uniform(seed, rows, 1, stream=f"{stream}/last", device=z.device)[:, 0]
        last = nn.functional.one_hot((u * 4).long(), 4).to(z.dtype)
        replaced: Tensor = self.layers(torch.cat((z, box, last), dim=1))
        return replaced


@dataclass(frozen=True)
class Steering:
    """z' that imitates a random edit of the image, by a trained walk.

    Attributes:
        walk: the trained walk.
        seed, which: decide the edits of positive number `which`.
        gain: factor on the 3-D rotation (GenRep: 5), for walks that have one.
    """

    walk: Walk
    seed: int
    gain: float = GENREP_GAIN
    which: int = 0

    def __call__(self, z: Tensor, condition: Tensor | None, indices: philox.Rows) -> Tensor:
        with torch.no_grad():
            moved: Tensor = self.walk(z, seed=self.seed, rows=indices, which=self.which, gain=self.gain)
        return moved


def save_walk(path: Path, walk: Walk, *, made_by: Mapping[str, Any]) -> None:
    """Write `walk.safetensors`; `made_by` says which generator and settings it belongs to."""
    header = {
        "form": walk.form,
        "latent_dim": walk.latent_dim,
        "channels": walk.channels,
        "ranges": walk.ranges.model_dump(),
        "made_by": dict(made_by),
    }
    save_tensors(path, walk.state_dict(), kind=KIND, header=header)


@path_errors()
def load_walk(path: str | Path) -> tuple[Walk, dict[str, Any]]:
    """Load a walk from its file or its run folder, in evaluation mode; returns it with the header of its file.

    Raises:
        DataError: the file is missing, truncated, not copgen's, or has non-finite values.
    """
    file = walk_file(path)
    tensors, header = load_tensors(file, kind=KIND)
    form, latent_dim, channels = header.get("form"), header.get("latent_dim"), header.get("channels")
    directions = tensors.get("directions")
    try:
        ranges = EditRanges.model_validate(header.get("ranges"))
    except ValidationError as error:
        raise DataError(f"{file}: invalid ranges of edits in its header: {error.errors()[0]['msg']}.") from None
    if (
        form is None
        or form not in get_args(Form)
        or channels not in (1, 3)
        or directions is None
        or directions.dim() != 2
    ):
        raise DataError(f"{file}: invalid header or directions: form {form!r}, channels {channels!r}.")
    if directions.shape[1] != latent_dim:
        raise DataError(f"{file}: its directions have {directions.shape[1]} coordinates; its header says {latent_dim}.")
    walk = Walk(form, directions.shape[1], channels=channels, ranges=ranges)
    load_into(walk, tensors, path=file)
    return walk.eval().requires_grad_(False), header
