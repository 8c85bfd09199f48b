"""Where a pairs folder is written: a local folder, or a place in an object store. The same few operations on both.

Names are those of `layout`, such as `records/shard-000017.json`. Whatever is written appears whole or not at all.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from copgen.pairs import layout
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.files import TEMPORARY_SUFFIX, create_bytes, disk_faults, read_bytes, write_bytes
from copgen.storage.lock import locked, refuse_foreign, shared

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}")


class Store(Protocol):
    """A place for the files of a pairs folder.

    Every operation raises EnvironmentFault where the disk or the service refuses it.

    Attributes:
        pause_s: seconds between two looks at what other workers do.
    """

    pause_s: float

    def where(self, name: str = "") -> str:
        """What a file is called in messages; the folder itself without a name."""

    def read(self, name: str) -> bytes:
        """A file's content; DataError where it is missing."""

    def read_all(self, folder: str) -> dict[str, bytes]:
        """The content of all files directly in a folder, by their names in it; none where there is no such folder."""

    def sizes(self, folder: str) -> dict[str, int]:
        """The sizes of all files directly in a folder, by their names in it; none where there is no such folder."""

    def size(self, name: str) -> int | None:
        """A file's size; None where it is missing."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, over what is there."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless its name is taken; whether it was not. Of several that do so at once, one succeeds."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def shard_folder(self, number: int) -> AbstractContextManager[Path]:
        """A local folder for `write_shard`; what it wrote there is in the store when the block ends well."""

    def writers(self, *, overwrite: bool) -> AbstractContextManager[None]:
        """Held by everyone who writes; with `overwrite` what is there is removed first, which needs it alone."""

    def tidy(self) -> None:
        """Remove what workers leave beside a finished dataset: claims, and temporary files of killed ones."""


def open_store(place: str | Path) -> Store:
    """The store of a folder's path or of a URL such as `s3://bucket/pairs`.

    Raises:
        UsageError: a kind of URL that nobody knows.
        EnvironmentFault: one that needs a package which is not installed.
    """
    if "://" not in str(place):
        return LocalStore(Path(place))
    from copgen.pairs.object_store import ObjectStore  # its library takes time to import

    return ObjectStore(str(place))


def refuse_url(folder: Path) -> None:
    """Refuse a URL where only a local folder will do; a Path has made one slash of its two.

    Raises:
        UsageError: with a way to get the pairs here.
    """
    if (match := _URL.match(str(folder))) and not folder.exists():
        url = f"{match[1]}://{str(folder)[match.end() :]}"
        raise UsageError(
            f"Pairs are read from a local folder, not from {url}.",
            fix=f"Copy them here first, such as with: {' '.join(copy_command(url, 'pairs'))}",
        )


def copy_command(url: str, folder: str) -> tuple[str, ...]:
    """A command that copies what is below a URL into a local folder."""
    known = {"s3": ("aws", "s3", "sync"), "gs": ("gcloud", "storage", "rsync", "--recursive")}
    return (*known.get(url.partition("://")[0], ("rclone", "sync")), url, folder)


def as_store(place: Path | Store) -> Store:
    """The store of a local folder; a store is itself."""
    return LocalStore(place) if isinstance(place, Path) else place


class LocalStore:
    """A folder of this machine, or of a file system that several machines share."""

    pause_s = 0.2

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def where(self, name: str = "") -> str:
        return str(self.folder / name)

    def read(self, name: str) -> bytes:
        return read_bytes(self.folder / name)

    def read_all(self, folder: str) -> dict[str, bytes]:
        found = {}
        for path in self._files(folder):
            with suppress(DataError):  # it was there a moment ago
                found[path.name] = read_bytes(path)
        return found

    def sizes(self, folder: str) -> dict[str, int]:
        found = {}
        for path in self._files(folder):
            with suppress(FileNotFoundError):
                found[path.name] = path.stat().st_size
        return found

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
        # Those of a worker that died, or whose claim was taken over: it can no longer rename them.
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
        with shared(self.folder, first=self._remove_strays):
            yield

    def empty(self) -> None:
        """Remove the pairs and all that belongs to them."""
        for name in (layout.SHARDS, layout.RECORDS, layout.CLAIMS):
            if (self.folder / name).is_dir():
                shutil.rmtree(self.folder / name)
        for name in (layout.MANIFEST, layout.CARD, layout.PLACES, layout.PLAN):
            (self.folder / name).unlink(missing_ok=True)

    def _remove_strays(self) -> None:
        for name in (layout.PLAN, layout.MANIFEST, layout.CARD, layout.PLACES):
            for stray in self.folder.glob(f"{name}.*{TEMPORARY_SUFFIX}"):
                stray.unlink(missing_ok=True)

    def tidy(self) -> None:
        shutil.rmtree(self.folder / layout.CLAIMS, ignore_errors=True)
