"""T_x in NVIDIA DALI: decodes and augments images on a GPU, or on the CPU where there is none.

DALI gets the encoded images and the parameters from copgen, so its views are those of the other backends: the same
crops, factors and orders, up to rounding. Its own random numbers and readers are not used, because they depend on what
ran before.

Legend: N images, V views of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.views.affine import AffineDraw
from copgen.views.augmentation import check_channels
from copgen.views.colour import ORDERS
from copgen.views.drawing import Draw
from copgen.views.policies import Policy

if TYPE_CHECKING:
    from copgen.views._dali_graph import Graph

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
INSTALL = "pip install 'copgen[dali]'"
_OTHERWISE = f"{INSTALL}, or use --loader torch"


class GraphFailed(Exception):
    """DALI could not make the views of a batch, as a rule because an image is damaged."""


class DaliViews:
    """Views of encoded images, of one shape.

    Args:
        policy: T_x, without RandAugment.
        channels: of the views, 1 or 3.
        size: (height, width) of the views, pixels.
        streams: encoded images of each sample: 1, of which all views are made, or one for each view.
        views: of each sample, V.
        batch: most samples at a time.
        device: where the views are needed; on "cuda" DALI decodes JPEG and augments there.
        threads: CPU threads of DALI.

    Raises:
        UsageError: the policy has parts that DALI does not have.
        EnvironmentFault: DALI is not installed, or cannot start.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        channels: int,
        size: tuple[int, int],
        streams: int,
        views: int,
        batch: int,
        device: torch.device,
        threads: int,
    ) -> None:
        check_policy(policy)
        check_channels(channels, policy)
        graph = _graphs()(
            policy=policy,
            channels=channels,
            streams=streams,
            views=views,
            size=size,
            device="gpu" if device.type == "cuda" else "cpu",
        )
        device_id = (device.index or 0) if device.type == "cuda" else None
        self.policy, self.coloured, self.batch = policy, channels == 3, batch
        try:
            self._pipeline = graph.build(batch=batch, threads=threads, device_id=device_id)
        except RuntimeError as error:
            raise EnvironmentFault(f"DALI cannot start: {_first_line(error)}", fix="Use --loader torch.") from None

    def __call__(
        self, encoded: Sequence[Sequence[bytes]], sizes: Sequence[Tensor], drawn: Sequence[Draw]
    ) -> tuple[Tensor, ...]:
        """The views.

        Args:
            encoded: for each stream, N files.
            sizes: for each stream, (height, width) of its images, (N, 2) int64.
            drawn: for each view, the parameters of N images, drawn with their sizes; on the CPU.

        Returns:
            V tensors (N, C, *size), as from `augment`, float32, on the device.

        Raises:
            GraphFailed: an image cannot be decoded; this object cannot be used any more.
        """
        for stream, files in enumerate(encoded):
            self._pipeline.feed_input(f"image_{stream}", [np.frombuffer(file, dtype=np.uint8) for file in files])
        for view, draw in enumerate(drawn):
            for name, values in _inputs(self.policy, draw, sizes[view % len(sizes)], coloured=self.coloured).items():
                self._pipeline.feed_input(f"{name}_{view}", values.numpy())
        try:
            outputs = self._pipeline.run()
        except RuntimeError as error:
            raise GraphFailed(_first_line(error)) from error
        # DALI reuses the memory of its outputs.
        return tuple(from_dlpack(output.as_tensor()).clone() for output in outputs)


def check_policy(policy: Policy) -> None:
    """Raises UsageError if DALI cannot make the policy's views."""
    if policy.rand_augment is not None:
        raise UsageError(
            f"The view policy '{policy.name}' has RandAugment, which DALI does not do like PIL.",
            fix="Use --loader torch.",
        )


def is_installed() -> bool:
    """Whether DALI can be imported."""
    try:
        _graphs()
    except EnvironmentFault:
        return False
    return True


def _graphs() -> type[Graph]:
    try:
        from copgen.views._dali_graph import Graph
    except (ImportError, OSError) as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("nvidia"):
            raise EnvironmentFault("DALI is not installed.", fix=_OTHERWISE) from None
        raise EnvironmentFault(f"DALI cannot be loaded: {_first_line(error)}", fix=_OTHERWISE) from None
    return Graph


def _first_line(error: BaseException) -> str:
    """What DALI says, without its traces of Python and C++."""
    reason = str(error).rsplit("encountered:", 1)[-1].split("C++ context", 1)[0]
    return next((line.strip() for line in reason.splitlines() if line.strip()), type(error).__name__)


def _inputs(policy: Policy, draw: Draw, sizes: Tensor, *, coloured: bool) -> dict[str, Tensor]:
    """The parameters that the graph asks for, by name; (N, ...) each."""
    box, colour = draw.crop, draw.colour
    inputs = {
        "start": torch.stack((box.top, box.left), dim=1).int(),
        "shape": torch.stack((box.height, box.width), dim=1).int(),
        "flip": box.flip.int(),
    }
    if policy.affine is not None:
        inputs["affine"] = _source_maps(draw.affine, sizes).float()
    if policy.jitter is not None:
        inputs["jitter"] = colour.jitter
        inputs["steps"] = torch.tensor(ORDERS, dtype=torch.int32)[colour.order]
        inputs.update(brightness=colour.brightness.float(), contrast=colour.contrast.float())
        if coloured:
            inputs.update(saturation=colour.saturation.float(), hue=colour.hue.float())
    if policy.grayscale > 0 and coloured:
        inputs["grayscale"] = colour.grayscale
    if policy.blur is not None:
        inputs.update(blurred=draw.blur.happens, sigma=draw.blur.sigma.float())
    return inputs


def _source_maps(draw: AffineDraw, sizes: Tensor) -> Tensor:
    """From a position to its source as in affine.py, (N, 2, 3): in pixels from the upper left corner."""
    angle = torch.deg2rad(draw.angle)
    cos, sin = torch.cos(angle) / draw.scale, torch.sin(angle) / draw.scale
    y, x = (sizes / 2).unbind(dim=1)
    from_x, from_y = x + draw.shift_x, y + draw.shift_y
    across = (cos, sin, x - cos * from_x - sin * from_y)
    down = (-sin, cos, y + sin * from_x - cos * from_y)
    return torch.stack((*across, *down), dim=1).reshape(-1, 2, 3)
