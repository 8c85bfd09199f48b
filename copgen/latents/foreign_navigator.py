"""Navigators of other programs: the four tensors of T_z out of a pickled module or a state dict.

The authors' script saves `{"nn_walker": DataParallel(NonlinearWalk)}`, whole objects of classes that only exist there;
their tensors are `walker.{0,2}.{weight,bias}`, and `walker.{0,1}.{weight,bias}` of a linear one. Another network than
Linear - ReLU - Linear or Linear - Linear is refused, as its weights would load and mean something else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.latents.navigator import Form, Navigator
from copgen.runtime.errors import DataError
from copgen.storage.foreign import Opaque, is_module, module_tensors, read_foreign
from copgen.storage.foreign.containers import submodules
from copgen.storage.tensors import load_into

_LAYERS: dict[Form, tuple[int, int]] = {"nonlinear": (0, 2), "linear": (0, 1)}
_ACTIVATIONS: dict[tuple[str, ...], Form] = {("torch.nn.modules.activation.ReLU",): "nonlinear", (): "linear"}


def read_foreign_navigator(path: Path) -> Navigator:
    """The navigator in a file of another program, in evaluation mode.

    Raises:
        DataError: missing, damaged, something else, or with values that are not finite; the error says what it is.
    """
    return navigator_of(read_foreign(path), path)


def navigator_of(content: Any, path: Path) -> Navigator:
    """The navigator in the content of a foreign file; errors as `read_foreign_navigator`."""
    refuse_others(content, path)
    only = next(iter(content.values())) if isinstance(content, dict) and len(content) == 1 else None
    held = only if isinstance(only, dict | Opaque) else content
    form = form_of(held, path) if is_module(held) else None
    tensors = module_tensors(held) if is_module(held) else held
    if form is None:
        named = isinstance(tensors, dict) and any(str(name).endswith("1.weight") for name in tensors)
        form = "linear" if named else "nonlinear"
    layers = layers_of(tensors, path, form=form)
    first = layers["layers.0.weight"]
    navigator = Navigator(first.shape[1], first.shape[0], form=form)
    load_into(navigator, layers, path=path)
    return navigator.eval().requires_grad_(False)


def layers_of(tensors: Any, path: Path, *, form: Form = "nonlinear") -> dict[str, Tensor]:
    """The four tensors under copgen's names, float32."""
    parts = [f"{layer}.{kind}" for layer in _LAYERS[form] for kind in ("weight", "bias")]
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        kind = tensors.kind if isinstance(tensors, Opaque) else f"a {type(tensors).__name__}"
        raise DataError(f"{path} holds {kind}, which is no navigator: no tensors by name, and no module with some.")
    prefixes = {str(name).removesuffix(part) for name in tensors for part in parts if str(name).endswith(part)}
    if len(tensors) != len(parts) or len(prefixes) != 1:
        names = ", ".join(sorted(map(str, tensors))[:4]) or "none"
        raise DataError(
            f"{path} is no navigator: its tensors are {names}{', ...' if len(tensors) > 4 else ''} ({len(tensors)} in "
            f"all), where one of two layers has {', '.join(parts[:-1])} and {parts[-1]}."
        )
    (prefix,) = prefixes
    # In copgen both forms count the place between the layers.
    layers = {f"layers.{part.replace('1.', '2.')}": tensors.get(f"{prefix}{part}") for part in parts}
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
            fix="copgen navigator import makes a walk of it, for copgen sample --tz steering.",
        )


def form_of(module: Opaque, path: Path) -> Form:
    """Whether a pickled module has a ReLU between its layers; it says which classes it is made of.

    Raises:
        DataError: anything else than one ReLU or nothing is between them.
    """
    kinds = [str(one.kind) for _, one in submodules(module) if not one.state["_modules"]]
    between = tuple(kind for kind in kinds if not kind.endswith(".Linear"))
    if between not in _ACTIVATIONS or len(kinds) - len(between) != 2:
        raise DataError(
            f"{path} holds a network of {', '.join(kind.rpartition('.')[2] for kind in kinds) or 'no layers'}; "
            "a navigator is Linear, ReLU, Linear, or Linear, Linear.",
        )
    return _ACTIVATIONS[between]
