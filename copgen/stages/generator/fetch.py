"""`copgen generator fetch`: the published files of a generator from their authors' addresses, then their import."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from copgen.generators import entry, weights_directory
from copgen.generators.public_files import PublicFile, Role
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from copgen.runtime.events import Events, Silent
from copgen.stages.generator.import_weights import import_generator
from copgen.storage.download import Policy, Unreachable, begun, download
from copgen.storage.lock import locked
from copgen.storage.tensors import is_whole
from copgen.storage.unpacking import unpack


class NotOffered(EnvironmentFault):
    """No address gave a file."""


def fetch_generator(
    name: str,
    *,
    directory: Path | None = None,
    overwrite: bool = False,
    events: Events | None = None,
    policy: Policy | None = None,
) -> dict[str, Any]:
    """Download, check and import the weights of a generator; an interrupted download goes on where it was.

    Args:
        name: the generator.
        directory: the weights directory, if not the usual one.
        overwrite: fetch again what is there.
        events: told of the way and of progress.
        policy: how patient to be with the network.

    Returns:
        As `import_generator`; of weights that were there already, only the name, the file and that.

    Raises:
        UsageError: unknown name, or nothing was published.
        EnvironmentFault: no address can be reached (the error names the file and the address), or the disk is full.
        DataError: what was fetched is not what was published, or not this generator.
    """
    known = entry(name)
    if not known.files:
        raise UsageError(
            f"'{name}' has no published weights to fetch.",
            fix="Its weights come with copgen." if known.embedded else "A plug-in loads its own.",
        )
    events = events or Silent()
    target = weights_directory.converted_file(name, directory)
    if is_whole(target) and not overwrite:
        return {"name": name, "weights": str(target), "already_imported": True}
    folder = target.with_name(f"{name}.download")
    overwrite = overwrite or target.exists()  # it is truncated or corrupt
    events.say(f"Terms of the weights: {known.licence}.")
    try:
        with locked(folder):
            places = fetch_all(name, known.files, folder, events, policy)
            try:
                summary = import_generator(
                    name, places["weights"], instances=places.get("instances"), directory=directory, overwrite=overwrite
                )
            except DataError:
                shutil.rmtree(folder)  # so that the same command fetches it again
                raise
        # The imported file says what it was made from; the downloads are not needed twice.
        shutil.rmtree(folder)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # where nothing is kept in it
    return summary


def fetch_all(
    name: str, files: Iterable[PublicFile], folder: Path, events: Events, policy: Policy | None
) -> dict[Role, Path]:
    """A file for each role, where it lies; one that is not required may be missing."""
    offered: dict[Role, list[PublicFile]] = {}
    for file in files:
        offered.setdefault(file.role, []).append(file)
    places: dict[Role, Path] = {}
    for role, several in offered.items():
        try:
            places[role] = fetch_one(name, several, folder, events, policy)
        except NotOffered as error:
            if any(file.required for file in several):
                raise
            events.warn(f"{error.what} Going on without {role}.")
    return places


def fetch_one(name: str, offered: Iterable[PublicFile], folder: Path, events: Events, policy: Policy | None) -> Path:
    """One of the files that are offered for a role, from the first address that gives it; where it lies."""
    tried = []
    for file in offered:
        path = folder / file.name
        # First the address of which a part is here.
        urls = [url for url in file.urls if begun(url, path)] or file.urls
        for url in (*urls, *(url for url in file.urls if url not in urls)):
            if path.exists():
                break
            try:
                events.say(f"{file.name} from {url}")
                download(url, path, sha256=file.sha256, events=events, policy=policy)
            except Unreachable as unreachable:
                if unreachable.kept:
                    raise  # part of it is here, which another address would not go on with
                tried.append((file, url, unreachable.reason))
        if path.exists():
            return unpacked(path, file, folder) if file.archive else path
    file, url, _ = tried[0]
    reasons = "; ".join(f"{reason} ({address})" for _, address, reason in tried)
    unpacking = "unpack it, " if file.archive else ""
    raise NotOffered(
        f"{file.name} of '{name}' could not be fetched: {reasons}.",
        fix=f"Where there is a network, get it from {url}, {unpacking}and then: "
        f"copgen generator import {name} {file.inside or file.name}.",
    )


def unpacked(archive: Path, file: PublicFile, folder: Path) -> Path:
    """What is wanted of an archive; a damaged one is removed, so that it is fetched again."""
    try:
        return unpack(archive, file.inside or file.name, folder)
    except DataError:
        archive.unlink()
        raise
