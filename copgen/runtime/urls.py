"""URLs where a path on this machine is needed: refused before anything is read, computed or written.

A `Path` made from a URL has one slash after the colon instead of two, and would name a folder such as `s3:`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from copgen.runtime.errors import UsageError
from copgen.runtime.printable import command_line

_URL = re.compile(r"([a-z][a-z0-9+.:-]+):(//?)(.*)", re.IGNORECASE | re.DOTALL)
_LOCAL = ("file", "local")
_ONLINE = "online:"  # `--pairs online:/path/of/a/run`


def url_of(path: str | Path) -> str | None:
    """The URL that a path was made from; None for an ordinary path."""
    found = _URL.fullmatch(str(path).removeprefix(_ONLINE))
    if found is None:
        return None
    scheme, slashes, rest = found[1].lower(), found[2], found[3]
    return f"{scheme}:///{rest}" if scheme in _LOCAL and slashes == "/" else f"{scheme}://{rest}"


def local_path(place: str | Path) -> Path | None:
    """The path that a place on this machine has, a path itself or a URL such as file:///data; None for other URLs."""
    url = url_of(place)
    if url is None:
        return Path(place)
    scheme, _, path = url.partition("://")
    prefix = _ONLINE if str(place).startswith(_ONLINE) else ""
    return Path(prefix + path) if scheme in _LOCAL else None


def refuse_url(path: str | Path, *, writing: bool = False) -> None:
    """Refuse a URL where a path is needed; a folder with the name of a URL can still be read.

    Raises:
        UsageError: with the command that copies the files, or the path of a file:// URL.
    """
    url = url_of(path)
    if url is None or (not writing and os.path.exists(path)):
        return
    if (local := local_path(path)) is not None:
        raise UsageError(f"{url} is a URL; a path is needed here.", fix=f"Pass {local}.")
    name = PurePosixPath(url).name
    if writing:
        copy = command_line(*copy_command(name, url))
        raise UsageError(
            f"{url} is a URL; only the pairs of copgen sample can be written to one.",
            fix=f"Write to a local path, and copy the result, for example: {copy}",
        )
    raise UsageError(
        f"{url} is a URL; copgen reads from local paths.",
        fix=f"Copy it to this machine first, for example: {command_line(*copy_command(url, name))}",
    )


def copy_command(source: str, target: str) -> tuple[str, ...]:
    """A command that copies a folder, or a file if the name has a suffix, from or to a URL."""
    scheme = (source if "://" in source else target).partition("://")[0]
    file = PurePosixPath(source).suffix != ""
    if scheme in ("http", "https"):
        return ("curl", "--location", "--output", target, source)
    known = {
        "s3": ("aws", "s3", "cp" if file else "sync"),
        "gs": ("gcloud", "storage", *(["cp"] if file else ["rsync", "--recursive"])),
    }
    return (*known.get(scheme, ("rclone", "copyto" if file else "sync")), source, target)
