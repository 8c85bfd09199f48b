"""Atomic and durable file writes: temporary name, flush, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from copgen.runtime.errors import DataError
from copgen.runtime.path_errors import NO_FAULTS, path_error
from copgen.runtime.urls import refuse_url

TEMPORARY_SUFFIX = ".partial"
_BUFFER = 2**20  # bytes per system call, as shards are written in small parts
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn the operating system's errors (disk full, read-only, no permission) into an error with exit code 4."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_FAULTS:
            raise
        raise path_error(error, path, access="written") from error


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where its file system can: shared folders of virtual machines cannot."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(handle)


@contextmanager
def writing(path: Path, *, alone: bool = True) -> Iterator[BinaryIO]:
    """Open `path` for atomic writing: the file appears, complete and durable, if the block succeeds, else not at all.

    Args:
        path: the file.
        alone: False if another process may be writing the same file: the temporary name is then unique.

    Raises:
        UsageError: it is a URL.
        EnvironmentFault: it cannot be written.
    """
    refuse_url(path, writing=True)
    own = "" if alone else f".{secrets.token_hex(4)}"
    partial = path.with_name(f"{path.name}{own}{TEMPORARY_SUFFIX}")
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "wb", buffering=_BUFFER) as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def write_bytes(path: Path, content: bytes, *, alone: bool = True) -> None:
    """Write a whole file at once, atomically; `alone` as in `writing`."""
    with writing(path, alone=alone) as stream:
        stream.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file at once, UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def create_bytes(path: Path, content: bytes) -> bool:
    """Create a file atomically unless it exists; returns whether it was created.

    Of several concurrent processes exactly one succeeds, over NFS too, as a hard link fails if the name exists.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            _link(partial, path)
        except FileExistsError:
            return False
        finally:
            partial.unlink(missing_ok=True)
        fsync_folder(path.parent)
    return True


def _link(partial: Path, path: Path) -> None:
    """Give a file a second name, which must not exist."""
    try:
        os.link(partial, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(path) from None
        os.replace(partial, path)  # not exclusive, but the best option without hard links


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, indented and with sorted keys, so that equal values give equal bytes; NaN raises."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        DataError: missing, not UTF-8, or not JSON.
        EnvironmentFault: it exists, but is not readable.
    """
    return parse_json(read_bytes(path), str(path))


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON document that is an object.

    Raises:
        DataError: missing, not UTF-8, not JSON, or not an object.
        EnvironmentFault: it exists, but is not readable.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a JSON object.", fix="Copy the file again from its source.")
    return value


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        DataError: missing.
        EnvironmentFault: it exists, but is not readable.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} is missing.") from None
    except OSError as error:
        raise path_error(error, path, access="read") from None


def parse_json(data: bytes, where: str) -> Any:
    """Parse a JSON document; errors name its source, `where`.

    Raises:
        DataError: not UTF-8, or not JSON.
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    # Numbers with thousands of digits raise ValueError, thousands of nested brackets RecursionError.
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not a valid JSON document: {error}.") from None


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
