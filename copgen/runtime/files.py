"""Writing files so that a crash never leaves half of one: temporary name, flush, fsync, rename, fsync the folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from copgen.runtime.errors import DataError, EnvironmentFault

TEMPORARY_SUFFIX = ".partial"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_SUCH_PLACE = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG}
_BROKEN = {errno.EIO, errno.ENOLCK}


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (disk full, read-only, no permission) into an error with exit code 4."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise EnvironmentFault(
                f"The disk is full: {path} could not be written.",
                fix="Free some space and give the same command again.",
            ) from error
        if error.errno in _FORBIDDEN | _NO_SUCH_PLACE | _BROKEN:
            raise EnvironmentFault(
                f"{path} cannot be written: {error.strerror}.",
                fix="Name another folder or change its permissions.",
            ) from error
        raise


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing: its name appears, whole and durable, when the block ends well, else not at all."""
    partial = path.with_name(path.name + TEMPORARY_SUFFIX)
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file at once, atomically."""
    with writing(path) as stream:
        stream.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file at once, UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, indented and with sorted keys, so that equal values give equal bytes; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        DataError: missing, not UTF-8, or not JSON.
        EnvironmentFault: there, but not readable.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} is missing.") from None
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.", fix="Check its permissions.") from None
    # ValueError is also what a number of thousands of digits gives, RecursionError what thousands of brackets do.
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a whole JSON document: {error}.") from None


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
