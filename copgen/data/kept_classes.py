"""The classes of a large pairs folder, kept in the user's cache, as each is in a small file of its own in a tar.

Those of 1.3M pairs take 20 s to read from a local disk, and minutes over a network. What is kept belongs to the very
files that it was read from: their path, size, inode and times. Whatever writes, replaces or copies a shard changes one
of them (no program can set the time of the last change of an inode), and then the classes are read again. A folder has
one file in the cache, which that of its next version replaces.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from copgen.pairs.index_reader import opened_shard
from copgen.pairs.plan import Contents
from copgen.runtime.environment import user_cache
from copgen.runtime.errors import CopgenError
from copgen.storage.tensors import load_kept, save_tensors

KIND = "pair classes"
FEWEST = 20_000  # pairs of a folder whose classes are kept; fewer are read in less than a second
SETTLED_S = 60.0  # since the last change: two within one tick of a file system's clock look like one
Classes = tuple[Tensor | None, tuple[str, ...]]


def kept_classes(folder: Path, plan: Contents, read: Callable[[], Classes]) -> Classes:
    """The result of `read` for these shards: from the cache, or read, and then kept if there are classes.

    A cache that cannot be read or written is left out.

    Args:
        folder: the pairs folder.
        plan: its plan.
        read: returns (labels (N,) int64, names of the classes), or (None, ()).

    Raises:
        DataError: a shard cannot be opened; and as `read`.
    """
    if plan.pairs < FEWEST:
        return read()
    key, changed = state_of(folder, plan)
    kept = None
    with suppress(CopgenError, OSError):
        kept = load_kept(_file(folder), kind=KIND, key=key)
    if kept is not None:
        tensors, header = kept
        return tensors["labels"], tuple(header["names"])
    labels, names = read()
    if labels is not None and time.time() - changed > SETTLED_S and state_of(folder, plan)[0] == key:
        with suppress(CopgenError):
            header = {"key": key, "names": names}
            save_tensors(_file(folder), {"labels": labels}, kind=KIND, header=header, alone=False)
    return labels, names


def state_of(folder: Path, plan: Contents) -> tuple[str, float]:
    """A hash of what identifies the shards as they are now, and when the last of them was changed, in Unix time."""
    state: list[object] = [str(folder.resolve()), plan.digest]
    changed = 0.0
    for number in range(plan.shards):
        with opened_shard(folder, number) as file:  # NFS asks its server about a file that is opened
            of = os.fstat(file.number)
        state.append([of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns])
        changed = max(changed, of.st_ctime)
    return hashlib.sha256(json.dumps(state).encode()).hexdigest(), changed


def _file(folder: Path) -> Path:
    """The file of this folder in the cache; errors as `user_cache`."""
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()
    return user_cache() / "pair-classes" / f"{name[:32]}.safetensors"
