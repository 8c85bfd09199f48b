"""`copgen generator fetch`: download the published files of a generator from their authors' URLs and import them."""

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
from copgen.runtime.path_errors import path_errors
from copgen.stages.generator.import_weights import import_generator
from copgen.storage.download import Policy, Unreachable, begun, download
from copgen.storage.lock import locked
from copgen.storage.tensors import is_whole
from copgen.storage.unpacking import unpack


class NotOffered(EnvironmentFault):
    """No URL served a file."""


@path_errors()
def fetch_generator(
    name: str,
    *,
    directory: Path | None = None,
    overwrite: bool = False,
    events: Events | None = None,
    policy: Policy | None = None,
) -> dict[str, Any]:
    """Download, check and import the weights of a generator; an interrupted download resumes.

    Args:
        name: the generator.
        directory: the weights directory; None: the default.
        overwrite: fetch again even if the weights exist.
        events: receives progress and messages.
        policy: timeouts and retries.

    Returns:
        As `import_generator`; for weights that existed already, only the name, the file and that fact.

    Raises:
        UsageError: unknown name, or nothing was published.
        EnvironmentFault: no URL can be reached (the error names the file and the URL), or the disk is full.
        DataError: the file differs from the published one, or is of another generator.
    """
    known = entry(name)
    if not known.files:
        raise UsageError(
            f"'{name}' has no published weights to fetch.",
            fix="Its weights ship with copgen." if known.embedded else "Pass the weights of a plug-in with --weights.",
        )
    events = events or Silent()
    target = weights_directory.converted_file(name, directory)
    if is_whole(target) and not overwrite:
        return {"name": name, "weights": str(target), "already_imported": True}
    folder = target.with_name(f"{name}.download")
    overwrite = overwrite or target.exists()  # it is truncated or corrupt
    events.say(f"Licence of the weights: {known.licence}.")
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
        # The imported file records its sources; the downloads are no longer needed.
        shutil.rmtree(folder)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if it is empty
    return summary


def fetch_all(
    name: str, files: Iterable[PublicFile], folder: Path, events: Events, policy: Policy | None
) -> dict[Role, Path]:
    """The path of a file for each role; an optional one may be missing."""
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
            events.warn(f"{error.what} Continuing without {role}.")
    return places


def fetch_one(name: str, offered: Iterable[PublicFile], folder: Path, events: Events, policy: Policy | None) -> Path:
    """One of the files for a role, from the first URL that serves it; returns its path."""
    tried = []
    for file in offered:
        path = folder / file.name
        # Start with the URL of a partial download.
        urls = [url for url in file.urls if begun(url, path)] or file.urls
        for url in (*urls, *(url for url in file.urls if url not in urls)):
            if path.exists():
                break
            try:
                events.say(f"{file.name} from {url}")
                download(url, path, sha256=file.sha256, events=events, policy=policy)
            except Unreachable as unreachable:
                if unreachable.kept:
                    raise  # a partial download exists, which another URL could not resume
                tried.append((file, url, unreachable.reason))
        if path.exists():
            return unpacked(path, file, folder) if file.archive else path
    file, url, _ = tried[0]
    reasons = "; ".join(f"{reason} ({address})" for _, address, reason in tried)
    unpacking = "unpack it, " if file.archive else ""
    raise NotOffered(
        f"{file.name} of '{name}' could not be fetched: {reasons}.",
        fix=f"Download {url} on a machine with network access, {unpacking}and run "
        f"copgen generator import {name} {file.inside or file.name}.",
    )


def unpacked(archive: Path, file: PublicFile, folder: Path) -> Path:
    """Extract the needed part of an archive; a damaged archive is removed, so that it is fetched again."""
    try:
        return unpack(archive, file.inside or file.name, folder)
    except DataError:
        archive.unlink()
        raise
