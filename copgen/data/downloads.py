"""Download MNIST and CIFAR-10, from the addresses and with the checksums that torchvision knows.

torchvision's own loader is not used: it unpickles CIFAR-10, and starts an interrupted download from scratch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from copgen.runtime.errors import DataError, EnvironmentFault
from copgen.runtime.events import Events, Silent
from copgen.storage.download import Policy, Unreachable, download
from copgen.storage.files import disk_faults
from copgen.storage.lock import locked
from copgen.storage.unpacking import unpack


@dataclass(frozen=True)
class PublishedFile:
    """One file of a dataset.

    Attributes:
        urls: addresses, tried in order.
        md5: its published checksum.
        inside: the folder in an archive that is unpacked; empty for a file that is used as it is.
    """

    urls: tuple[str, ...]
    md5: str
    inside: str = ""

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.urls[0].rpartition("/")[2]


def mnist_files() -> list[PublishedFile]:
    """The four files of MNIST."""
    from torchvision.datasets import MNIST

    mirrors = [mirror for mirror in MNIST.mirrors if mirror.startswith("https://")] or MNIST.mirrors
    return [PublishedFile(tuple(f"{mirror}{name}" for mirror in mirrors), md5) for name, md5 in MNIST.resources]


def cifar10_files() -> list[PublishedFile]:
    """The archive of CIFAR-10's Python batches."""
    from torchvision.datasets import CIFAR10

    return [PublishedFile((CIFAR10.url,), CIFAR10.tgz_md5, inside=CIFAR10.base_folder)]


def fetch(
    name: str,
    files: Callable[[], list[PublishedFile]],
    folder: Path,
    *,
    events: Events | None = None,
    policy: Policy | None = None,
) -> None:
    """Download the files of a dataset into a folder; an interrupted download resumes.

    Args:
        name: of the dataset, for messages.
        files: what was published.
        folder: where they are put.
        events: receives progress and messages.
        policy: timeouts and retries.

    Raises:
        EnvironmentFault: no address can be reached (the error names it, and where to put the file), or the disk is
            full.
        DataError: a file differs from the published one; it was deleted.
    """
    events = events or Silent()
    try:
        with locked(folder, wait=True):  # another process, such as another rank, may fetch them at the same time
            for file in files():
                if not (folder / (file.inside or file.name)).exists():
                    _fetch_one(name, file, folder, events, policy)
    finally:
        with suppress(OSError):  # it holds files
            folder.rmdir()


def _fetch_one(name: str, file: PublishedFile, folder: Path, events: Events, policy: Policy | None) -> None:
    target = folder / file.name
    tried: list[Unreachable] = []
    for url in file.urls:
        events.say(f"Downloading {name}: {url}")
        try:
            download(url, target, events=events, policy=policy)
            break
        except Unreachable as unreachable:
            if unreachable.kept:
                raise
            tried.append(unreachable)
    else:
        reasons = "; ".join(f"{one.reason} ({url})" for one, url in zip(tried, file.urls, strict=True))
        unpacked = " and unpack it there" if file.inside else ""
        raise EnvironmentFault(
            f"{file.name} of '{name}' could not be fetched: {reasons}.",
            fix=f"Download {file.urls[0]} on a machine with network access, put it into {folder}{unpacked}.",
        )
    with open(target, "rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != file.md5:
        target.unlink()
        raise DataError(
            f"{file.urls[0]} gave a file with MD5 {found}; the published one is {file.md5}.",
            fix="It was deleted. Run the same command to fetch it again.",
        )
    if file.inside:
        _unpack(target, file.inside, folder)


def _unpack(archive: Path, inside: str, folder: Path) -> None:
    """Unpack a folder of an archive under another name first, so that it is there whole or not at all."""
    aside = folder / f"{archive.name}.unpacked"
    try:
        unpack(archive, inside, aside)
    except DataError:
        archive.unlink()
        raise
    with disk_faults(folder):
        os.replace(aside / inside, folder / inside)
        archive.unlink()
        with suppress(OSError):
            aside.rmdir()
