"""Exclusive and shared locks of folders. The kernel releases the lock of a process that dies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.urls import refuse_url
from copgen.storage.files import TEMPORARY_SUFFIX, disk_faults
from copgen.storage.processes import exists, identity, is_alive

LOCK = "LOCK"
_MOST_BYTES = 4096  # of what is read of a lock
_NO_IDENTITY = (ValueError, KeyError, TypeError, OverflowError, RecursionError)  # of what somebody else wrote there
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}  # Lustre without -o flock; others; NFS without its service
_PATIENCE_S = 10.0  # for a process that holds the folder exclusively for a moment, to set it up


class _InUse(EnvironmentFault):
    """Another process holds the lock."""


@contextmanager
def locked(folder: Path, *, finished: bool = False, wait: bool = False) -> Iterator[None]:
    """Lock `folder` exclusively, creating it if missing; meanwhile the file LOCK identifies the process.

    Args:
        folder: the folder.
        finished: nothing is left to be written: a folder that is read-only then needs no lock.
        wait: until a process that holds it has ended, instead of raising.

    Raises:
        EnvironmentFault: another process holds it, the folder cannot be written, or its file system has no locks.
    """
    if finished and _is_read_only(folder):
        yield
        return
    with _held(folder, lambda path: ((_hold_after_others if wait else _hold)(path, fcntl.LOCK_EX), True)):
        yield


@contextmanager
def shared(folder: Path, *, first: Callable[[], None], finished: bool = False) -> Iterator[None]:
    """Lock `folder` in shared mode, creating it if missing.

    Args:
        folder: the folder.
        finished: as in `locked`.
        first: called first, under the exclusive lock, unless other processes share the folder already.

    Raises:
        EnvironmentFault: another process holds it exclusively, the folder cannot be written, or its file system has no
            locks.
    """
    if finished and _is_read_only(folder):
        yield
        return
    with _held(folder, _hold_with_others) as (handle, alone):
        if alone:
            first()
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def _held(folder: Path, take: Callable[[Path], tuple[int, bool]]) -> Iterator[tuple[int, bool]]:
    """Take the lock of a folder, which is created if missing, and sign it; the last process removes the file."""
    path = folder / LOCK
    refuse_url(folder, writing=True)
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle, alone = take(path)
    try:
        with disk_faults(path):
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(identity()).encode() + b"\n", 0)
        try:
            yield handle, alone
        finally:
            with suppress(BlockingIOError):  # others share the folder
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool | None:
    """Whether a living process has signed the lock of a folder; the lock itself is not touched.

    None if that cannot be known here: it was signed on another machine, or in another container. Locks of older
    versions have the process number only.
    """
    try:
        signed = (folder / LOCK).read_bytes()[:_MOST_BYTES]
    except OSError:
        return False
    try:
        holder = json.loads(signed)
        return exists(holder) if type(holder) is int else is_alive(holder)
    except _NO_IDENTITY:
        return False  # nobody's


def _name_of(signed: bytes) -> str:
    """The process that has signed a lock, for people."""
    try:
        holder = json.loads(signed)
        elsewhere = type(holder) is not int and is_alive(holder) is None
        number = int(holder if type(holder) is int else holder["process"])
    except _NO_IDENTITY:
        return "process unknown"
    return f"process {number}{' on another machine or in another container' if elsewhere else ''}"


def _is_read_only(folder: Path) -> bool:
    """Whether a folder exists in which this process cannot create files."""
    return os.path.isdir(folder) and not os.access(folder, os.W_OK, effective_ids=True)


def _hold_with_others(path: Path) -> tuple[int, bool]:
    """The handle, and whether the lock is exclusive."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        for operation in (fcntl.LOCK_EX, fcntl.LOCK_SH):
            try:
                return _hold(path, operation), operation == fcntl.LOCK_EX
            except _InUse:
                if operation == fcntl.LOCK_SH and time.monotonic() > until:
                    raise
        time.sleep(0.05)


def _hold_after_others(path: Path, operation: int) -> int:
    while True:
        with suppress(_InUse):
            return _hold(path, operation)
        time.sleep(0.2)


def _hold(path: Path, operation: int) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(handle, operation | fcntl.LOCK_NB)
            # If the holder exits between the two lines above, it removes the file: this lock would then be on an
            # unlinked file, and the next process would lock a new one.
            if path.exists() and os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        except BlockingIOError:
            holder = _name_of(os.read(handle, _MOST_BYTES))
            os.close(handle)
            raise _InUse(
                f"{path.parent} is in use by another copgen ({holder}).",
                fix="Wait for it, or choose another folder with --out.",
            ) from None
        except OSError as error:
            os.close(handle)
            if error.errno not in _NO_LOCKS:
                raise
            raise EnvironmentFault(
                f"{path.parent} is on a file system that does not lock files (flock: {error.strerror}).",
                fix="Mount it with flock (Lustre: -o flock; NFS: with its lock service), or choose an --out on a local "
                "disk.",
            ) from error
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def refuse_foreign(folder: Path, *, mark: str, holds: str) -> None:
    """Refuse a folder that copgen did not write: it is not empty, and does not contain the file `mark`.

    Raises:
        EnvironmentFault: it is a file, or contains something other than `holds` ('run', 'pairs', ...).
        UsageError: it is a URL.
    """
    refuse_url(folder, writing=True)
    if folder.exists() and not folder.is_dir():
        raise EnvironmentFault(f"{folder} is a file, not a folder.", fix="Choose another folder with --out.")
    if not folder.is_dir():
        return
    others = sorted(
        entry.name for entry in folder.iterdir() if entry.name != LOCK and not entry.name.endswith(TEMPORARY_SUFFIX)
    )
    if others and mark not in others:
        raise EnvironmentFault(
            f"{folder} is not empty and contains no copgen {holds} (found '{others[0]}').",
            fix="Choose another folder with --out.",
        )
