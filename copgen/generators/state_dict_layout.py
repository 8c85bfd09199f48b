"""The layout of a published checkpoint: every tensor it must hold, and what to say when it holds something else."""

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

# A name that only this family has, most particular first; and the generators that read it.
_MARKS = (
    ("shared_feat.weight", "IC-GAN", "icgan-128"),
    ("generator.gen_z.weight_orig", "BigGAN-deep", "biggan-deep-128, -256 or -512"),
    ("blocks.0.0.bn1.gain.weight", "BigBiGAN", "bigbigan"),
    ("transforms.0.chain.1.weight", "Residual Flow", "residual-flow-mnist"),
    ("nn_walker", "COP-Gen navigator", "none: see copgen navigator import"),
)
# The same names and shapes as BigBiGAN's.
_CONDITIONAL = (
    "class-conditional BigGAN (the rows of its class table 'shared.weight' differ)",
    "none; of the class-conditional ones copgen reads BigGAN-deep",
)
_DEEPEST = 4  # levels of a checkpoint below its top that are searched
_ALIKE = 1e-3  # of the largest entry


@dataclass(frozen=True)
class Network:
    """The tensors of one network in a checkpoint.

    Attributes:
        where: their place in it, such as 'state_dict' or 'models.G'; empty at the top.
        family: its family.
        generator: the generators that read it.
        tensors: by name, without the prefix that a wrapper such as DataParallel leaves in front.
        beside: the dictionary that they lie in, where they lie below the top.
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
    """(place, values by name, the dictionary around them) of each dictionary and module, once, from the top down."""
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
    """The networks of known families in a checkpoint, wherever in it their tensors lie."""
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
        content: what `read_state` gave.
        path: for the error.
        family: the family that is wanted.
        mark: a name that every network of it has.

    Raises:
        DataError: there is none, or another family's, or several.
    """
    found = networks(content)
    fitting = [network for network in found if network.family == family and mark in network.tensors]
    others = [network for network in found if network.family != family]
    if len(fitting) > 1:
        places = ", ".join(f"'{network.where or 'the top'}'" for network in fitting)
        raise DataError(
            f"{path} holds the tensors of {len(fitting)} networks of family {family}: {places}.",
            fix="Save the one that is wanted in a file of its own.",
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
            f"{path} is the file of a {others[0].family}{place}; it does not hold a {family}.",
            fix=f"The generator that reads it: {others[0].generator}.",
        )
    if not isinstance(content, Mapping) and not is_module(content):
        raise DataError(f"{path} holds a {type(content).__name__}, not the tensors of a network by name.")
    place = f" at '{found[0].where}'" if found and found[0].where else ""
    raise DataError(f"{path} has no tensor '{mark}'{place}; it does not hold a whole {family}.")


def tensors_of(content: Any, *, path: Path, family: str, mark: str) -> dict[str, Tensor]:
    """The tensors of the one network of a family in a checkpoint; as `network_of`."""
    return network_of(content, path=path, family=family, mark=mark).tensors


def dimensions(tensors: Mapping[str, Tensor], name: str, rank: int, *, path: Path) -> tuple[int, ...]:
    """The shape of a tensor that a width is read from.

    Raises:
        DataError: it is missing, or has another number of dimensions.
    """
    if name not in tensors:
        raise DataError(f"{path}: tensor '{name}' is missing.")
    shape = tuple(tensors[name].shape)
    if len(shape) != rank or 0 in shape:
        raise DataError(f"{path}: tensor '{name}' has shape {shape}; {rank} dimensions that are not empty are needed.")
    return shape


def check(tensors: Mapping[str, Tensor], shapes: Shapes, *, path: Path, ignored: Collection[str] = ()) -> None:
    """Every name in `shapes` must be there with its shape and finite values, and no other but the ignored ones.

    Raises:
        DataError: the first that is not so, by name.
    """
    missing = sorted(shapes.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - shapes.keys() - set(ignored))
    if missing or unexpected:
        name, problem = (missing[0], "is missing") if missing else (unexpected[0], "is unexpected")
        raise DataError(
            f"{path}: tensor '{name}' {problem} ({len(missing)} missing, {len(unexpected)} unexpected in all)."
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != tuple(shape):
            raise DataError(f"{path}: tensor '{name}' has shape {tuple(tensor.shape)}, not {tuple(shape)}.")
        if not tensor.is_floating_point():
            raise DataError(f"{path}: tensor '{name}' is of {tensor.dtype}, not of floating point.")
        # The extremes carry NaN along, and need no copy of a large tensor.
        if not bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all()):
            raise DataError(f"{path}: tensor '{name}' holds values that are not finite.")
