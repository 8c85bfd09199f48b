"""Navigators of other programs: the four tensors of T_z out of a pickled module or a state dict.

The authors' script saves `{"nn_walker": DataParallel(NonlinearWalk)}`, whole objects of classes that only exist there;
their tensors are `walker.{0,2}.{weight,bias}`. A network that is not Linear - ReLU - Linear is refused, as its weights
would load and mean something else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.latents.navigator import Navigator
from copgen.runtime.errors import DataError
from copgen.runtime.foreign import Opaque, is_module, module_tensors, read_foreign
from copgen.runtime.foreign.containers import submodules
from copgen.runtime.tensors import load_into

_PARTS = ("0.weight", "0.bias", "2.weight", "2.bias")


def read_foreign_navigator(path: Path) -> Navigator:
    """The navigator in a file of another program, in evaluation mode.

    Raises:
        DataError: missing, damaged, something else, or with values that are not finite; the error says what it is.
    """
    content = read_foreign(path)
    refuse_others(content, path)
    only = next(iter(content.values())) if isinstance(content, dict) and len(content) == 1 else None
    held = only if isinstance(only, dict | Opaque) else content
    if is_module(held):
        refuse_other_activations(held, path)
    tensors = module_tensors(held) if is_module(held) else held
    layers = layers_of(tensors, path)
    first = layers["layers.0.weight"]
    navigator = Navigator(first.shape[1], first.shape[0])
    load_into(navigator, layers, path=path)
    return navigator.eval().requires_grad_(False)


def layers_of(tensors: Any, path: Path) -> dict[str, Tensor]:
    """The four tensors under copgen's names, float32."""
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        kind = tensors.kind if isinstance(tensors, Opaque) else f"a {type(tensors).__name__}"
        raise DataError(f"{path} holds {kind}, which is no navigator: no tensors by name, and no module with some.")
    prefixes = {str(name).removesuffix(part) for name in tensors for part in _PARTS if str(name).endswith(part)}
    if len(tensors) != len(_PARTS) or len(prefixes) != 1:
        names = ", ".join(sorted(map(str, tensors))[:4]) or "none"
        raise DataError(
            f"{path} is no navigator: its tensors are {names}{', ...' if len(tensors) > 4 else ''} ({len(tensors)} in "
            "all), where one of two layers has 0.weight, 0.bias, 2.weight and 2.bias."
        )
    (prefix,) = prefixes
    layers = {f"layers.{part}": tensors.get(f"{prefix}{part}") for part in _PARTS}
    missing = [name for name, value in layers.items() if value is None]
    found = {name: value.float() for name, value in layers.items() if value is not None}
    weight = found.get("layers.0.weight")
    if missing or weight is None or weight.dim() != 2 or 0 in weight.shape:
        raise DataError(
            f"{path} is no navigator of two layers: {', '.join(missing) or 'its first layer is no matrix'}."
        )
    return found


def refuse_others(content: Any, path: Path) -> None:
    """Name the foreign files that are easily taken for navigators."""
    if isinstance(content, dict) and {"walk_jit", "walk_rrc"} & content.keys():
        shape = getattr(content.get("walk_jit"), "shape", torch.Size())
        raise DataError(
            f"{path} holds GenRep's walks in BigGAN-deep's latent space (walk_jit {tuple(shape)}: colour, walk_rrc: "
            "crops): a steering transform, whose steps depend on an augmentation. It is no navigator.",
            fix="copgen reads such files (copgen.runtime.foreign.read_foreign), but has no transform for them yet.",
        )


def refuse_other_activations(module: Opaque, path: Path) -> None:
    """A pickled module says which classes it is made of: anything between the layers must be one ReLU."""
    kinds = [str(one.kind) for _, one in submodules(module) if not one.state["_modules"]]
    between = [kind for kind in kinds if not kind.endswith(".Linear")]
    if between != ["torch.nn.modules.activation.ReLU"]:
        raise DataError(
            f"{path} holds a network of {', '.join(kind.rpartition('.')[2] for kind in kinds) or 'no layers'}; "
            "a navigator is Linear, ReLU, Linear.",
            fix="A linear one (the authors' z + W2 W1 z) cannot be imported.",
        )
