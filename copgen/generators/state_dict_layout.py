"""The layout of a published checkpoint: the tensors that it must hold, and errors that say what it holds instead."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.runtime.errors import DataError
from copgen.storage.foreign import is_module, module_tensors

Shapes = Mapping[str, tuple[int, ...]]

# (name that identifies a family, most specific first; family; generators that read it).
_MARKS = (
    ("shared_feat.weight", "IC-GAN", "icgan-128"),
    ("generator.gen_z.weight_orig", "BigGAN-deep", "biggan-deep-128, -256 or -512"),
    ("blocks.0.0.bn1.gain.weight", "BigBiGAN", "bigbigan"),
    ("transforms.0.chain.1.weight", "Residual Flow", "residual-flow-mnist"),
    ("nn_walker", "COP-Gen navigator", "a navigator, with copgen navigator import"),
)
# The same names and shapes as BigBiGAN's.
_CONDITIONAL = (
    "class-conditional BigGAN (the rows of its class table 'shared.weight' differ)",
    "biggan-deep-128 (copgen reads no other class-conditional BigGAN; use the weights of BigGAN-deep)",
)
_DEEPEST = 4  # levels of a checkpoint below its top that are searched
_ALIKE = 1e-3  # tolerance, relative to the largest entry


@dataclass(frozen=True)
class Network:
    """The tensors of one network in a checkpoint.

    Attributes:
        where: its key in the checkpoint, such as 'state_dict' or 'models.G'; empty at the top.
        family: its family.
        generator: the generators that read it.
        tensors: by name, without the prefix of a wrapper such as DataParallel.
        beside: the dictionary that contains the network, if it is below the top.
    """

    where: str
    family: str
    generator: str
    tensors: dict[str, Any]
    beside: Mapping[Any, Any]


def is_conditional(tensors: Mapping[str, Any]) -> bool:
    """Whether the rows of BigGAN's class table differ. BigBiGAN's are copies of one vector, as it has no classes."""
    table = tensors.get("shared.weight")
    if not isinstance(table, Tensor) or table.dim() != 2 or table.numel() == 0:
        return False
    table = table.double()
    return bool((table - table[:1]).abs().max() > _ALIKE * table.abs().max())


def _tables(content: Any) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any], Mapping[Any, Any]]]:
    """(key, values by name, enclosing dictionary) of each dictionary and module, once, from the top down."""
    waiting: list[tuple[tuple[str, ...], Any, Mapping[Any, Any]]] = [((), content, {})]
    seen: set[int] = set()
    while waiting:
        place, here, around = waiting.pop(0)
        if id(here) in seen:
            continue
        seen.add(id(here))
        if is_module(here):
            yield place, module_tensors(here), around
        elif isinstance(here, Mapping):
            named = {name: value for name, value in here.items() if isinstance(name, str)}
            yield place, named, around
            if len(place) < _DEEPEST:
                waiting += [((*place, name), value, here) for name, value in named.items()]


def networks(content: Any) -> list[Network]:
    """The networks of known families at any level of a checkpoint."""
    found: list[Network] = []
    for place, values, around in _tables(content):
        families: dict[str, tuple[str, str]] = {}
        for mark, family, generator in _MARKS:
            for name in values:
                if name == mark or name.endswith(f".{mark}"):
                    families.setdefault(name.removesuffix(mark), (family, generator))
        for prefix, (family, generator) in families.items():
            tensors = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
            if family == "BigBiGAN" and is_conditional(tensors):
                family, generator = _CONDITIONAL
            found.append(Network(".".join((*place, prefix)).strip("."), family, generator, tensors, around))
    return found


def network_of(content: Any, *, path: Path, family: str, mark: str) -> Network:
    """The one network of a family in a checkpoint.

    Args:
        content: the result of `read_state`.
        path: for the error.
        family: the expected family.
        mark: a name that every network of it has.

    Raises:
        DataError: there is none, one of another family, or several.
    """
    found = networks(content)
    fitting = [network for network in found if network.family == family and mark in network.tensors]
    others = [network for network in found if network.family != family]
    if len(fitting) > 1:
        places = ", ".join(f"'{network.where or 'the top'}'" for network in fitting)
        raise DataError(
            f"{path} holds {len(fitting)} networks of family {family}: {places}.",
            fix="Save one of them in a separate file.",
        )
    if fitting:
        (network,) = fitting
        for name, value in network.tensors.items():
            if not isinstance(value, Tensor):
                where = f"{network.where}: " if network.where else ""
                raise DataError(f"{path}: {where}'{name}' is a {type(value).__name__}, not a tensor.")
        return network
    if others and len(others) == len(found):
        place = f", at '{others[0].where}'" if others[0].where else ""
        raise DataError(
            f"{path} holds a {others[0].family}{place}; expected a {family}.",
            fix=f"Load it as {others[0].generator}.",
        )
    if not isinstance(content, Mapping) and not is_module(content):
        raise DataError(f"{path} holds a {type(content).__name__}, not a state dict.")
    place = f" at '{found[0].where}'" if found and found[0].where else ""
    raise DataError(f"{path} has no tensor '{mark}'{place}; expected a {family}.")


def tensors_of(content: Any, *, path: Path, family: str, mark: str) -> dict[str, Tensor]:
    """The tensors of the one network of a family in a checkpoint; as `network_of`."""
    return network_of(content, path=path, family=family, mark=mark).tensors


def dimensions(tensors: Mapping[str, Tensor], name: str, rank: int, *, path: Path) -> tuple[int, ...]:
    """The shape of a tensor that a width is read from.

    Raises:
        DataError: the tensor is missing or empty, or has another number of dimensions.
    """
    if name not in tensors:
        raise DataError(f"{path}: tensor '{name}' is missing.")
    shape = tuple(tensors[name].shape)
    if len(shape) != rank or 0 in shape:
        raise DataError(f"{path}: tensor '{name}' has shape {shape}; expected {rank} non-empty dimensions.")
    return shape


def check(tensors: Mapping[str, Tensor], shapes: Shapes, *, path: Path, ignored: Collection[str] = ()) -> None:
    """Require every name in `shapes` with its shape and finite values, and no other names but the ignored ones.

    Raises:
        DataError: for the first tensor that fails, with its name.
    """
    missing = sorted(shapes.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - shapes.keys() - set(ignored))
    if missing or unexpected:
        name, problem = (missing[0], "is missing") if missing else (unexpected[0], "is unexpected")
        raise DataError(
            f"{path}: tensor '{name}' {problem} ({len(missing)} missing, {len(unexpected)} unexpected in total)."
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != tuple(shape):
            raise DataError(f"{path}: tensor '{name}' has shape {tuple(tensor.shape)}; expected {tuple(shape)}.")
        if not tensor.is_floating_point():
            raise DataError(f"{path}: tensor '{name}' is {tensor.dtype}; expected a floating-point dtype.")
        # aminmax propagates NaN, and needs no copy of a large tensor.
        if not bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all()):
            raise DataError(f"{path}: tensor '{name}' contains non-finite values.")
