"""Resumable downloads: the bytes received so far are kept, and the next attempt requests the rest.

`NAME.partial` holds the bytes received, `NAME.partial.json` the version of the file (the server's ETag or date); the
rest is requested on the condition that the server still has that version. The file gets its final name once it is
complete and its hash matches.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copgen.runtime.errors import CopgenError, DataError, EnvironmentFault
from copgen.runtime.events import Events, Silent
from copgen.storage.files import TEMPORARY_SUFFIX, disk_faults, fsync_folder, read_json, sha256_of, write_json

_CHUNK = 2**20
_ATTEMPTS = 4
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_PAGE = (b"<!doctype html", b"<html")


class Broken(Exception):
    """A failed connection; `final` if another attempt would fail too."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True)
class Policy:
    """Timeouts and retries of a download.

    Attributes:
        timeout: seconds without data after which a connection is closed.
        pause: seconds before the first retry; doubled for each further one.
    """

    timeout: float = 30.0
    pause: float = 1.0


class Partial:
    """The bytes received of a file, and their version."""

    def __init__(self, target: Path, url: str) -> None:
        self.path = target.with_name(target.name + TEMPORARY_SUFFIX)
        self.note = self.path.with_name(self.path.name + ".json")
        self.url = url

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def kept(self) -> int:
        """The number of bytes received from this URL; a download from another URL is not continued."""
        return self.size if self.known() is not None else 0

    def known(self) -> dict[str, Any] | None:
        """The recorded metadata, if it is of this URL."""
        try:
            note = read_json(self.note)
        except CopgenError:
            return None
        return note if isinstance(note, dict) and note.get("url") == self.url else None

    @property
    def version(self) -> str | None:
        """The server's version of the bytes received; None if it gave none, or for another URL."""
        version = (self.known() or {}).get("version")
        return version if isinstance(version, str) else None

    def begin(self, version: str | None) -> None:
        """Start from scratch, with another version."""
        self.path.unlink(missing_ok=True)
        write_json(self.note, {"url": self.url, "version": version})

    def discard(self) -> None:
        """Delete the partial download."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


class Unreachable(EnvironmentFault):
    """The URL could not be fetched; another one may work. `kept` is the number of bytes received so far."""

    def __init__(self, url: str, reason: str, *, partial: Partial) -> None:
        self.reason, self.kept = reason, partial.kept
        kept = f" {self.kept:,} bytes are kept in {partial.path}." if self.kept else ""
        super().__init__(
            f"{url} could not be fetched: {reason}.{kept}",
            fix="Run the same command to resume." if self.kept else "",
        )


def download(
    url: str, target: Path, *, sha256: str | None = None, events: Events | None = None, policy: Policy | None = None
) -> Path:
    """Fetch a file, resuming an earlier attempt.

    Args:
        url: an http or https URL.
        target: the file to write; an existing one is replaced.
        sha256: the published hash, if any.
        events: receives the progress, in bytes.
        policy: timeouts and retries.

    Raises:
        Unreachable: no connection, a server error, or repeated disconnections; the bytes received are kept.
        DataError: a web page instead of a file, or a hash that differs from the published one; nothing is kept.
        EnvironmentFault: the disk is full or the folder cannot be written; the bytes received are kept.
    """
    events, policy = events or Silent(), policy or Policy()
    if not url.startswith(("https://", "http://")):
        raise DataError(f"{url} is not an http or https URL.")
    partial = Partial(target, url)
    with disk_faults(partial.path):
        target.parent.mkdir(parents=True, exist_ok=True)
        attempt(url, partial, events, policy)
        finish(url, partial, target, sha256)
    return target


def begun(url: str, target: Path) -> bool:
    """Whether a part of the file has already been received from this URL."""
    return Partial(target, url).kept > 0


def attempt(url: str, partial: Partial, events: Events, policy: Policy) -> None:
    """Transfer until the file is complete: a few attempts, and more as long as each makes progress."""
    pause, left = policy.pause, _ATTEMPTS
    while True:
        before = partial.size
        try:
            return transfer(url, partial, events, policy)
        except Broken as broken:
            left = _ATTEMPTS if partial.size > before else left - 1
            if broken.final or left <= 0:
                raise Unreachable(url, str(broken), partial=partial) from None
            events.say(f"{broken}, after {partial.kept:,} bytes; resuming.")
        finally:
            events.end()
        time.sleep(pause)
        pause = policy.pause if left == _ATTEMPTS else 2 * pause


def broken_by(error: BaseException) -> Broken:
    """Why a connection failed, and whether to retry."""
    if isinstance(error, urllib.error.HTTPError):
        final = 400 <= error.code < 500 and error.code not in (408, 429)
        return Broken(f"the server answered {error.code} {error.reason}".rstrip(), final=final)
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    told = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    # A host that could not be reached will not be reachable a second later.
    return Broken(str(told).rstrip("."), final=isinstance(error, urllib.error.URLError))


def opener() -> urllib.request.OpenerDirector:
    """http and https, redirections, and the proxies of the environment; no file:, ftp: or data: URLs."""
    handlers: tuple[type[urllib.request.BaseHandler], ...] = (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    )
    director = urllib.request.OpenerDirector()
    for handler in handlers:
        director.add_handler(handler())
    return director


def transfer(url: str, partial: Partial, events: Events, policy: Policy) -> None:
    """One connection: request the missing bytes, and append them."""
    have, version = partial.size, partial.version
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "copgen"})
    if have and version:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version)
    try:
        answer = opener().open(request, timeout=policy.timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:
            raise broken_by(error) from None
        # There is nothing after the bytes received: the file is complete, or the server has another version.
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return
        partial.discard()
        raise Broken("the server has another version now") from None
    except (OSError, http.client.HTTPException) as error:
        raise broken_by(error) from None
    with answer:
        if answer.headers.get_content_type() == "text/html":
            raise page(url)
        total = accept(answer, partial, have)
        have = partial.size
        if total is not None:
            refuse_full_disk(partial.path, total - have)
            events.begin("fetch", total=max(total, 1), unit="bytes", done=have)
        with open(partial.path, "ab") as stream:
            while chunk := receive(answer):
                stream.write(chunk)
                have += len(chunk)
                if total is not None:
                    events.advance(have, {})
            stream.flush()
            os.fsync(stream.fileno())
    if total is not None and have < total:
        raise Broken("the connection ended early")


def receive(answer: Any) -> bytes:
    """The next bytes; separates network errors from disk errors."""
    try:
        chunk: bytes = answer.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise broken_by(error) from None
    return chunk


def accept(answer: Any, partial: Partial, have: int) -> int | None:
    """Accept the response as the rest of the file, or as a new start; returns the total size if known."""
    if answer.status == 206:
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != have:
            partial.discard()
            raise Broken("the server sent a different range than requested")
        return int(found[2]) if found[2] != "*" else None
    tag, date = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified")
    # A weak ETag does not guarantee equal bytes.
    partial.begin(tag if tag.startswith('"') else date)
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def page(url: str) -> DataError:
    return DataError(
        f"{url} gave a web page instead of the file.",
        fix="Open the address in a browser, download the file there, and import it.",
    )


def refuse_full_disk(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise EnvironmentFault(
            f"The disk is full: {path} needs {needed:,} bytes more, and {free:,} are free.",
            fix="Free some space and run the same command again.",
        )


def finish(url: str, partial: Partial, target: Path, sha256: str | None) -> None:
    """Check the hash and rename the file to its final name."""
    with open(partial.path, "rb") as stream:
        head = stream.read(256).lstrip().lower()
    if head.startswith(_PAGE):
        partial.discard()
        raise page(url)
    found = sha256_of(partial.path) if sha256 is not None else None
    if found != sha256:
        partial.discard()
        raise DataError(
            f"{url} gave a file with sha256 {found}; the published one is {sha256}.",
            fix="It was deleted. Fetch it again; if the hash differs again, the published file has changed.",
        )
    os.replace(partial.path, target)
    partial.note.unlink(missing_ok=True)
    fsync_folder(target.parent)
