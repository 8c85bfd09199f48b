"""Import GenRep's walks: the composed walks of edits, and the two published ones that imitate SimCLR's views.

walk_rot3d, walk_rot2d, walk_zoom, walk_shiftx, walk_shifty (1, d), walk_color (1, d, C)    edits
walk_jit (1, d, 4), walk_rrc: a pickled Linear - ReLU - Linear on d + 4 numbers             crop-colour
walk_jit (1, d), not trained; walk_rrc: the same on d + 8 numbers                           crop-order
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.latents.foreign_navigator import form_of, layers_of
from copgen.latents.walks import Walk
from copgen.runtime.errors import DataError
from copgen.storage.foreign import is_module, module_tensors
from copgen.storage.tensors import load_into

_EDITS = ("walk_rot3d", "walk_rot2d", "walk_zoom", "walk_shiftx", "walk_shifty")


def is_walk(content: Any) -> bool:
    """Whether the content of a foreign file is one of GenRep's walks."""
    return isinstance(content, Mapping) and bool({"walk_jit", "walk_rrc", "walk_color", *_EDITS} & content.keys())


def walk_of(content: Mapping[str, Any], path: Path) -> Walk:
    """The walk in the content of a foreign file, in evaluation mode.

    Raises:
        DataError: a tensor is missing, has the wrong shape, or is not finite; the error says which.
    """
    if "walk_rrc" not in content and "walk_jit" not in content:
        return _edits(content, path)
    network = content.get("walk_rrc")
    if not is_module(network):
        raise DataError(f"{path}: 'walk_rrc' is not a pickled network, as in GenRep's walks.")
    if form_of(network, path) != "nonlinear":
        raise DataError(f"{path}: 'walk_rrc' has no ReLU between its layers; GenRep's walks have one.")
    layers = layers_of(module_tensors(network), path)
    latent_dim, width = layers["layers.2.weight"].shape[0], layers["layers.0.weight"].shape[1]
    forms = {4: "crop-colour", 8: "crop-order"}
    if width - latent_dim not in forms:
        raise DataError(
            f"{path}: 'walk_rrc' has {width} inputs for {latent_dim} latent coordinates; expected 4 or 8 more inputs."
        )
    form = forms[width - latent_dim]
    directions = torch.zeros(0, latent_dim)
    if form == "crop-colour":
        directions = _part(content, "walk_jit", (1, latent_dim, 4), path)[0].t()
    walk = Walk("crop-colour" if form == "crop-colour" else "crop-order", latent_dim)
    load_into(walk, {"directions": directions.contiguous(), **layers}, path=path)
    return walk.eval().requires_grad_(False)


def _edits(content: Mapping[str, Any], path: Path) -> Walk:
    first, colour = content.get(_EDITS[0]), content.get("walk_color")
    latent_dim = first.shape[-1] if isinstance(first, Tensor) and first.dim() == 2 else 0
    channels = colour.shape[-1] if isinstance(colour, Tensor) and colour.dim() == 3 else 0
    if latent_dim == 0 or channels not in (1, 3):
        raise DataError(f"{path}: not a walk of edits: it has no 'walk_rot3d' (1, d) or no 'walk_color' (1, d, 3).")
    rows = [_part(content, name, (1, latent_dim), path)[0] for name in _EDITS]
    directions = torch.stack([*rows, *_part(content, "walk_color", (1, latent_dim, channels), path)[0].unbind(1)])
    walk = Walk("edits", latent_dim, channels=channels)
    load_into(walk, {"directions": directions}, path=path)
    return walk.eval().requires_grad_(False)


def _part(content: Mapping[str, Any], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    value = content.get(name)
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        what = f"has shape {tuple(value.shape)}" if isinstance(value, Tensor) else "is not a tensor"
        raise DataError(f"{path}: '{name}' {what}; expected a tensor of shape {shape}.")
    return value.detach().float()
