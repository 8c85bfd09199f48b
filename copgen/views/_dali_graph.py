"""The views as a DALI graph; needs DALI, so only dali.py imports it.

The graph is written with DALI's operators on images (H, W, C) in [0, 255], float32 from the resize on. `if` splits the
batch: DALI rewrites these functions so that a branch gets the images whose condition holds. Hue turns in HSV as in
hue.py; DALI's own operator turns it in YIQ, which is another rotation.

Legend: S x S' pixels of a view; parameters of each image come in by name, with the number of the view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nvidia.dali.fn as fn
import nvidia.dali.math as dm
import nvidia.dali.types as types
from nvidia.dali import pipeline_def

from copgen.views.colour_in_cache import LUMA
from copgen.views.policies import Policy

_RED, _GREEN, _BLUE = 0.0, -1 / 3, 1 / 3  # minus the hue of the channel, turns
_TINY = 1e-20


@dataclass(frozen=True)
class Graph:
    """What the graph is built from.

    Attributes:
        policy: T_x.
        channels: of every image, 1 or 3.
        streams: encoded images of each sample: 1, of which all views are made, or one for each view.
        views: of each sample.
        size: (height, width) of a view, pixels.
        device: "gpu" or "cpu".
    """

    policy: Policy
    channels: int
    streams: int
    views: int
    size: tuple[int, int]
    device: str

    def build(self, *, batch: int, threads: int, device_id: int | None) -> Any:
        """The pipeline, ready to run; raises RuntimeError where DALI cannot start."""
        define = pipeline_def(enable_conditionals=True)(self._outputs)
        pipeline = define(
            batch_size=batch, num_threads=threads, device_id=device_id, prefetch_queue_depth=1, exec_dynamic=True
        )
        pipeline.build()
        return pipeline

    def _outputs(self) -> Any:
        decoded = [_decoded(self, f"image_{stream}") for stream in range(self.streams)]
        return tuple(_view(self, decoded[view % self.streams], view) for view in range(self.views))


def _decoded(graph: Graph, name: str) -> Any:
    return fn.decoders.image(
        fn.external_source(name=name),
        device="mixed" if graph.device == "gpu" else "cpu",
        output_type=types.RGB if graph.channels == 3 else types.GRAY,
        adjust_orientation=False,
        jpeg_fancy_upsampling=True,
    )


def _view(graph: Graph, x: Any, view: int) -> Any:
    policy, coloured = graph.policy, graph.channels == 3

    def drawn(name: str) -> Any:
        return fn.external_source(name=f"{name}_{view}")

    if policy.affine is not None:
        matrix, fill = drawn("affine"), 255 * policy.affine.fill
        x = fn.warp_affine(x, matrix=matrix, fill_value=fill, dtype=types.FLOAT, interp_type=types.INTERP_LINEAR)
    x = fn.slice(x, drawn("start"), drawn("shape"), axes=(0, 1))
    x = fn.resize(x, size=graph.size, dtype=types.FLOAT, interp_type=types.INTERP_LINEAR, antialias=policy.antialias)
    if policy.jitter is not None:
        x = _jittered(graph, x, drawn)
    if policy.grayscale > 0 and coloured:
        greyed = drawn("grayscale")
        if greyed:
            x = fn.saturation(x, saturation=0.0)
    if policy.blur is not None:
        blurred, sigma = drawn("blurred"), drawn("sigma")
        if blurred:
            x = fn.gaussian_blur(x, sigma=sigma, window_size=_windows(policy.blur.kernel, graph.size))
    numbers = policy.normalise
    mean, std = ((0.0,) * graph.channels, (1.0,) * graph.channels) if numbers is None else (numbers.mean, numbers.std)
    return fn.crop_mirror_normalize(
        x,
        mirror=drawn("flip"),
        mean=[255 * value for value in mean],
        std=[255 * value for value in std],
        output_layout="CHW",
        dtype=types.FLOAT,
    )


def _windows(kernel: float, size: tuple[int, int]) -> list[int]:
    return [2 * int(kernel * side / 2) + 1 for side in size]


def _jittered(graph: Graph, x: Any, drawn: Callable[[str], Any]) -> Any:
    """Brightness, contrast, saturation and hue, in the order of each image."""
    jitter, steps = drawn("jitter"), drawn("steps")
    names = ("brightness", "contrast", "saturation", "hue") if graph.channels == 3 else ("brightness", "contrast")
    factors = [drawn(name) for name in names]
    if jitter:
        x = _step(graph, x, steps[0], *factors)
        x = _step(graph, x, steps[1], *factors)
        x = _step(graph, x, steps[2], *factors)
        x = _step(graph, x, steps[3], *factors)
    return x


def _step(
    graph: Graph, x: Any, step: Any, brightness: Any, contrast: Any, saturation: Any = 1.0, hue: Any = 0.0
) -> Any:
    if step == 0:
        x = _clamped(x * _there(graph, brightness))
    elif step == 1:
        x = _contrasted(graph, x, _there(graph, contrast))
    elif step == 2:
        x = _saturated(graph, x, saturation)
    else:
        x = _hue_turned(graph, x, _there(graph, hue))
    return x


def _there(graph: Graph, parameter: Any) -> Any:
    """A parameter where the images are, for arithmetic."""
    return parameter.gpu() if graph.device == "gpu" else parameter


def _clamped(x: Any) -> Any:
    return dm.clamp(x, 0.0, 255.0)


def _contrasted(graph: Graph, x: Any, factor: Any) -> Any:
    mean = fn.reductions.mean(x, axes=[0, 1])
    if graph.channels == 3:
        mean = fn.reductions.sum(mean * types.Constant(LUMA, dtype=types.FLOAT, device=graph.device))
    return _clamped(x * factor + mean * (1.0 - factor))


def _saturated(graph: Graph, x: Any, factor: Any) -> Any:
    if graph.channels == 1:
        return x
    return _clamped(fn.saturation(x, saturation=factor))


def _hue_turned(graph: Graph, x: Any, turns: Any) -> Any:
    """As `colour_in_cache.hue`: the hue's distance from red, turned, and a ramp for each channel."""
    if graph.channels == 1:
        return x
    red, green, blue = x[:, :, 0:1], x[:, :, 1:2], x[:, :, 2:3]
    top, low = dm.max(dm.max(red, green), blue), dm.min(dm.min(red, green), blue)
    chroma = top - low
    sign = 1.0 - 2.0 * (green < blue)
    hue = sign * ((green + blue - red - low) / (chroma + _TINY) + 1.0) * (1 / 6) + turns
    return fn.cat(*(_channel(top, chroma, hue + centre) for centre in (_RED, _GREEN, _BLUE)), axis=2)


def _channel(top: Any, chroma: Any, distance: Any) -> Any:
    nearest = distance - dm.floor(distance + 0.5)  # turns in [-1/2, 1/2]
    return top - chroma * dm.clamp(6.0 * dm.abs(nearest) - 1.0, 0.0, 1.0)
