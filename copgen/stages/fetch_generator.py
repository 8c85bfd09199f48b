"""`copgen generator fetch`: the published files of a generator from their authors' addresses, then their import."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from copgen.generators import entry, weights_directory
from copgen.generators.public_files import PublicFile
from copgen.runtime.download import Policy, Unreachable, begun, download
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.lock import locked
from copgen.runtime.unpacking import unpack
from copgen.stages.import_generator import import_generator


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
    if target.exists() and not overwrite:
        return {"name": name, "weights": str(target), "already_imported": True}
    folder = target.with_name(f"{name}.download")
    events.say(f"Terms of the weights: {known.licence}.")
    with locked(folder):
        places: dict[str, Path] = {}
        for role in dict.fromkeys(file.role for file in known.files):
            offered = [file for file in known.files if file.role == role]
            try:
                places[role] = fetch_one(name, offered, folder, events, policy)
            except Unreachable as error:
                if any(file.required for file in offered):
                    raise
                events.warn(f"{error} Going on without {role}.")
        try:
            summary = import_generator(
                name, places["weights"], instances=places.get("instances"), directory=directory, overwrite=overwrite
            )
        except DataError:
            shutil.rmtree(folder)  # so that the same command fetches it again
            raise
    # The imported file says what it was made from; the downloads are not needed twice.
    shutil.rmtree(folder)
    return summary


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
                if unreachable.fix:
                    raise  # part of it is here, which another address would not go on with
                tried.append((file, url, unreachable))
        if path.exists():
            return unpacked(path, file, folder) if file.archive else path
    file, url, _ = tried[0]
    reasons = " ".join(error.what for *_, error in tried)
    by_hand = f"copgen generator import {name} {file.inside or file.name}"
    raise Unreachable(
        f"{file.name} of '{name}' could not be fetched. {reasons}",
        fix=f"Where there is a network, get it from {url}, and then: {by_hand}.",
    )


def unpacked(archive: Path, file: PublicFile, folder: Path) -> Path:
    """What is wanted of an archive; a damaged one is removed, so that it is fetched again."""
    try:
        return unpack(archive, file.inside or file.name, folder)
    except DataError:
        archive.unlink()
        raise
