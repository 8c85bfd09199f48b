"""Where a pairs folder is written: a local folder or an object store, with the same few operations.

Names are those of `layout`, such as `records/shard-000017.json`. Every write is atomic.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from copgen.pairs import layout
from copgen.runtime.errors import DataError
from copgen.runtime.urls import local_path, url_of
from copgen.storage.files import TEMPORARY_SUFFIX, create_bytes, disk_faults, read_bytes, write_bytes
from copgen.storage.lock import locked, refuse_foreign, shared


class Store(Protocol):
    """Storage for the files of a pairs folder.

    Every operation raises EnvironmentFault if the disk or the service refuses it.

    Attributes:
        pause_s: seconds between two checks of what other workers do.
    """

    pause_s: float

    def where(self, name: str = "") -> str:
        """The name of a file in messages; that of the folder itself if `name` is empty."""

    def read(self, name: str) -> bytes:
        """A file's content; DataError if it is missing."""

    def read_all(self, folder: str) -> dict[str, bytes]:
        """Contents of all files directly in a folder, by their names in it; empty if there is no such folder."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Sizes of all files directly in a folder, by their names in it; empty if there is no such folder."""

    def size(self, name: str) -> int | None:
        """A file's size; None if it is missing."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, replacing an existing one."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a file if its name is free, and return whether it was; of several concurrent calls one succeeds."""

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""

    def shard_folder(self, number: int) -> AbstractContextManager[Path]:
        """A local folder for `write_shard`; its files are in the store once the block ends without an exception."""

    def writers(self, *, overwrite: bool) -> AbstractContextManager[None]:
        """A lock shared by all writers; `overwrite` first takes it exclusively and removes the existing files."""

    def tidy(self) -> None:
        """Remove what workers leave in a finished folder: claims, a pool, and temporary files of killed workers."""


def open_store(place: str | Path) -> Store:
    """The store for a folder's path or a URL such as `s3://bucket/pairs`; one of file:// is that of its folder.

    Raises:
        UsageError: unknown protocol.
        EnvironmentFault: the protocol needs a package that is not installed.
    """
    if (folder := local_path(place)) is not None:
        return LocalStore(folder)
    from copgen.pairs.object_store import ObjectStore  # its library takes time to import

    return ObjectStore(url_of(place) or str(place))


def as_store(place: Path | Store) -> Store:
    """The store of a local folder; a store is returned as it is."""
    return LocalStore(place) if isinstance(place, Path) else place


class LocalStore:
    """A folder on this machine or on a file system shared by several machines."""

    pause_s = 0.2

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def where(self, name: str = "") -> str:
        return str(self.folder / name)

    def read(self, name: str) -> bytes:
        return read_bytes(self.folder / name)

    def read_all(self, folder: str) -> dict[str, bytes]:
        contents = {}
        for path in self._files(folder):
            with suppress(DataError):  # removed since the listing
                contents[path.name] = read_bytes(path)
        return contents

    def sizes(self, folder: str) -> dict[str, int]:
        sizes = {}
        for path in self._files(folder):
            with suppress(FileNotFoundError):
                sizes[path.name] = path.stat().st_size
        return sizes

    def _files(self, folder: str) -> list[Path]:
        try:
            return [path for path in (self.folder / folder).iterdir() if path.suffix != TEMPORARY_SUFFIX]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def size(self, name: str) -> int | None:
        try:
            return (self.folder / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        write_bytes(self.folder / name, data, alone=False)

    def create(self, name: str, data: bytes) -> bool:
        return create_bytes(self.folder / name, data)

    def remove(self, name: str) -> None:
        with disk_faults(self.folder / name):
            (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def shard_folder(self, number: int) -> Iterator[Path]:
        # Files of a worker that died or whose claim was taken over; once removed it cannot rename them.
        for folder in (layout.SHARDS, layout.RECORDS):
            for stray in (self.folder / folder).glob(f"{layout.shard_name(number)}.*{TEMPORARY_SUFFIX}"):
                stray.unlink(missing_ok=True)
        yield self.folder

    @contextmanager
    def writers(self, *, overwrite: bool) -> Iterator[None]:
        refuse_foreign(self.folder, mark=layout.PLAN, holds="pairs")
        if overwrite:
            with locked(self.folder):
                self.empty()
        finished = self.size(layout.MANIFEST) is not None
        with shared(self.folder, first=self._remove_strays, finished=finished):
            yield

    def empty(self) -> None:
        """Remove all files of the pairs folder."""
        for name in (layout.SHARDS, layout.RECORDS, layout.CLAIMS, layout.POOL):
            if (self.folder / name).is_dir():
                shutil.rmtree(self.folder / name)
        for name in (layout.MANIFEST, layout.CARD, layout.PLACES, layout.PLAN):
            (self.folder / name).unlink(missing_ok=True)

    def _remove_strays(self) -> None:
        for name in (layout.PLAN, layout.MANIFEST, layout.CARD, layout.PLACES):
            for stray in self.folder.glob(f"{name}.*{TEMPORARY_SUFFIX}"):
                stray.unlink(missing_ok=True)

    def tidy(self) -> None:
        for name in (layout.CLAIMS, layout.POOL):
            shutil.rmtree(self.folder / name, ignore_errors=True)
