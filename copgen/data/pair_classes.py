"""The classes of pairs, from their metadata: the generator's class or stored instance, or the folder of an import.

Pairs of an unconditional generator have none. A class that `copgen import` took from a folder is worth what the folder
is: those of BigBiGAN's pairs have no meaning (docs/pairs.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.pairs import layout
from copgen.pairs.index_reader import opened_shard, read_index, read_member
from copgen.pairs.plan import Contents
from copgen.runtime.errors import DataError

KINDS = ("class", "instance")


def classes_of(folder: Path, plan: Contents) -> tuple[Tensor | None, tuple[str, ...]]:
    """(labels (N,) int64, names of the classes), or (None, ()) if the first pair has no class.

    A class number k is label k, and names are numbered in alphabetical order.

    Raises:
        DataError: metadata are damaged, or only some pairs have a class; the error names shard and pair.
    """
    found: list[int | str] = []
    for number in range(plan.shards):
        members = read_index(folder, plan, number)
        path = layout.tar_path(folder, number)
        column = len(plan.components) - 1
        with opened_shard(folder, number) as file:
            for row in range(len(plan.shard_range(number))):
                known = _class(read_member(folder, number, file, members, row, column))
                if known is None and not found:
                    return None, ()
                if known is None or (found and type(known) is not type(found[0])):
                    name = f"{layout.key(members.start + row)}.{layout.METADATA}"
                    what = f"{path}: {name} has no class like that of the pairs before it."
                    raise DataError(what, fix="Train without classes, or sample the pairs again.")
                found.append(known)
    if isinstance(found[0], int):
        labels = torch.tensor(found, dtype=torch.int64)
        return labels, tuple(map(str, range(int(labels.max()) + 1)))
    names = tuple(sorted({str(name) for name in found}))
    number_of = {name: number for number, name in enumerate(names)}
    return torch.tensor([number_of[str(name)] for name in found], dtype=torch.int64), names


def _class(data: bytes) -> int | str | None:
    """The class in the metadata of a pair; None if there is none, or the metadata are not copgen's."""
    try:
        metadata: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(metadata, dict):
        return None
    known = next((metadata[kind] for kind in KINDS if metadata.get(kind) is not None), None)
    valid = isinstance(known, str) or (isinstance(known, int) and not isinstance(known, bool) and 0 <= known < 2**31)
    return known if valid else None
