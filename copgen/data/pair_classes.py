"""The classes of pairs, from their metadata: the generator's class or stored instance, or the folder of an import.

Pairs of an unconditional generator have none. A class that `copgen import` took from a folder is worth what the folder
is: those of BigBiGAN's pairs have no meaning (docs/pairs.md).
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from copgen.data.kept_classes import Classes, kept_classes
from copgen.pairs import layout
from copgen.pairs.index_reader import opened_shard, read_index, read_member
from copgen.pairs.plan import Contents
from copgen.runtime.errors import DataError

KINDS = ("class", "instance")
READERS = 16


def classes_of(folder: Path, plan: Contents) -> Classes:
    """(labels (N,) int64, names of the classes), or (None, ()) if the first pair has no class.

    A class number k is label k, and names are numbered in alphabetical order. Those of a large folder are kept in the
    user's cache (kept_classes.py).

    Raises:
        DataError: metadata are damaged, or only some pairs have a class; the error names shard and pair.
    """
    return kept_classes(folder, plan, lambda: read_classes(folder, plan))


def read_classes(folder: Path, plan: Contents) -> Classes:
    """As `classes_of`, from the metadata of each pair; several threads wait for as many shards at once."""
    if classes_in(folder, plan, 0, most=1) == [None]:
        return None, ()
    found: list[int | str] = []
    with ThreadPoolExecutor(READERS, thread_name_prefix="classes") as readers:
        shards = readers.map(lambda number: classes_in(folder, plan, number), range(plan.shards))
        try:
            for number, of_shard in enumerate(shards):
                for row, known in enumerate(of_shard):
                    if known is None or type(known) is not type(next(iter(found), known)):
                        name = f"{layout.key(plan.shard_range(number)[row])}.{layout.METADATA}"
                        path = layout.tar_path(folder, number)
                        what = f"{path}: {name} has no class like that of the pairs before it."
                        raise DataError(what, fix="Train without classes, or sample the pairs again.")
                    found.append(known)
        except BaseException:
            readers.shutdown(wait=False, cancel_futures=True)
            raise
    if isinstance(found[0], int):
        labels = torch.tensor(found, dtype=torch.int64)
        return labels, tuple(map(str, range(int(labels.max()) + 1)))
    names = tuple(sorted({str(name) for name in found}))
    number_of = {name: number for number, name in enumerate(names)}
    return torch.tensor([number_of[str(name)] for name in found], dtype=torch.int64), names


def classes_in(folder: Path, plan: Contents, number: int, *, most: int | None = None) -> list[int | str | None]:
    """The class of each of the first `most` pairs of a shard, in order; None where there is none.

    Raises:
        DataError: metadata are damaged; the error names shard and pair.
    """
    members, column = read_index(folder, plan, number), len(plan.components) - 1
    rows = range(len(plan.shard_range(number)))[:most]
    with opened_shard(folder, number) as file:
        return [_class(read_member(folder, number, file, members, row, column)) for row in rows]


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
