"""The layout of a published checkpoint: every tensor it must hold, and what to say when it holds something else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.runtime.errors import DataError

Shapes = Mapping[str, tuple[int, ...]]

# A name that only this family has, most particular first; and the generators that read it.
_MARKS = (
    ("shared_feat.weight", "IC-GAN", "icgan-128"),
    ("generator.gen_z.weight_orig", "BigGAN-deep", "biggan-deep-128, -256 or -512"),
    ("blocks.0.0.conv1.weight", "BigBiGAN", "bigbigan"),
    ("transforms.0.chain.1.weight", "Residual Flow", "residual-flow-mnist"),
    ("nn_walker", "COP-Gen navigator", "none: see copgen navigator import"),
)
WRAPPERS = ("module.", "big_gan.", "G.")


def recognised(names: Collection[str]) -> tuple[str, str] | None:
    """(family, generator) of a checkpoint with these top-level names, where one has its mark."""
    found = (mark for mark in _MARKS if mark[0] in names)
    return next(((family, generator) for _, family, generator in found), None)


def tensors_of(state: Any, *, path: Path, family: str, mark: str) -> dict[str, Tensor]:
    """The tensors of a state dict, without the prefixes that a saved wrapper leaves in front of every name.

    Args:
        state: what `read_state` gave.
        path: for the error.
        family: the family that is wanted.
        mark: a name that every file of it has.

    Raises:
        DataError: no state dict, or that of another family.
    """
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise DataError(f"{path} holds a {type(state).__name__}, not the tensors of a network by name.")
    tensors = dict(state)
    while prefix := next((p for p in WRAPPERS if tensors and all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    if mark not in tensors or (recognised(tensors) or (family,))[0] != family:
        below = tensors.get("state_dict")
        other = recognised(tensors) or (recognised(below) if isinstance(below, Mapping) else None)
        what = f"is the file of a {other[0]}" if other else f"has no tensor '{mark}'"
        raise DataError(
            f"{path} {what}; it does not hold a {family}.",
            fix=f"The generator that reads it: {other[1]}." if other else "",
        )
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise DataError(f"{path}: '{name}' is a {type(value).__name__}, not a tensor.")
    return tensors


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
