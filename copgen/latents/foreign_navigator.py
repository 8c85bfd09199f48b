"""Import navigators of other programs: the four tensors of T_z from a pickled module or a state dict.

The authors' script saves `{"nn_walker": DataParallel(NonlinearWalk)}`: pickled objects of classes that only exist
there, with the tensors `walker.{0,2}.{weight,bias}`, or `walker.{0,1}.{weight,bias}` for the linear form. Networks
other than Linear - ReLU - Linear and Linear - Linear are refused: their weights might load but compute something else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.latents.navigator import Form, Navigator
from copgen.runtime.errors import DataError
from copgen.storage.foreign import Opaque, is_module, module_tensors, read_foreign, submodules
from copgen.storage.tensors import load_into

_LAYERS: dict[Form, tuple[int, int]] = {"nonlinear": (0, 2), "linear": (0, 1)}
_ACTIVATIONS: dict[tuple[str, ...], Form] = {("torch.nn.modules.activation.ReLU",): "nonlinear", (): "linear"}


def read_foreign_navigator(path: Path) -> Navigator:
    """The navigator in a file of another program, in evaluation mode.

    Raises:
        DataError: the file is missing, damaged, not a navigator, or has non-finite values; the error says which.
    """
    return navigator_of(read_foreign(path), path)


def navigator_of(content: Any, path: Path) -> Navigator:
    """The navigator in the content of a foreign file; errors as `read_foreign_navigator`."""
    refuse_others(content, path)
    only = next(iter(content.values())) if isinstance(content, dict) and len(content) == 1 else None
    model = only if isinstance(only, dict | Opaque) else content
    form = form_of(model, path) if is_module(model) else None
    tensors = module_tensors(model) if is_module(model) else model
    if form is None:
        linear = isinstance(tensors, dict) and any(str(name).endswith("1.weight") for name in tensors)
        form = "linear" if linear else "nonlinear"
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
        raise DataError(f"{path} is not a navigator: it holds {kind}, not a state dict or a module.")
    prefixes = {str(name).removesuffix(part) for name in tensors for part in parts if str(name).endswith(part)}
    if len(tensors) != len(parts) or len(prefixes) != 1:
        names = ", ".join(sorted(map(str, tensors))[:4]) or "none"
        raise DataError(
            f"{path} is not a navigator: it has {len(tensors)} tensors ({names}{', ...' if len(tensors) > 4 else ''}); "
            f"expected {', '.join(parts[:-1])} and {parts[-1]}."
        )
    (prefix,) = prefixes
    # copgen numbers the two layers 0 and 2 in both forms.
    layers = {f"layers.{part.replace('1.', '2.')}": tensors.get(f"{prefix}{part}") for part in parts}
    missing = [name for name, value in layers.items() if value is None]
    present = {name: value.float() for name, value in layers.items() if value is not None}
    weight = present.get("layers.0.weight")
    if missing or weight is None or weight.dim() != 2 or 0 in weight.shape:
        reason = f"it has no {', '.join(missing)}" if missing else "the weight of its first layer is not a matrix"
        raise DataError(f"{path} is not a navigator: {reason}.")
    return present


def refuse_others(content: Any, path: Path) -> None:
    """Refuse foreign files that are easily mistaken for navigators, and say what they are."""
    if isinstance(content, dict) and {"walk_jit", "walk_rrc"} & content.keys():
        shape = getattr(content.get("walk_jit"), "shape", torch.Size())
        raise DataError(
            f"{path} is not a navigator: it holds GenRep's walks in the latent space of BigGAN-deep (walk_jit "
            f"{tuple(shape)}: colour, walk_rrc: crops), a steering transform whose steps depend on an augmentation.",
            fix="Convert it with copgen navigator import, and use it with copgen sample --transform steering.",
        )


def form_of(module: Opaque, path: Path) -> Form:
    """The form of a pickled module of two layers: nonlinear with a ReLU between them, linear with nothing between.

    Raises:
        DataError: any other network.
    """
    kinds = [str(one.kind) for _, one in submodules(module) if not one.state["_modules"]]
    between = tuple(kind for kind in kinds if not kind.endswith(".Linear"))
    if between not in _ACTIVATIONS or len(kinds) - len(between) != 2:
        raise DataError(
            f"{path} holds a network of {', '.join(kind.rpartition('.')[2] for kind in kinds) or 'no layers'}; "
            "expected Linear, ReLU, Linear or Linear, Linear.",
        )
    return _ACTIVATIONS[between]
