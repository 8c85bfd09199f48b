"""Who writes into a folder: one process alone, or several that share it. The kernel releases the lock of a dead one."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from copgen.runtime.errors import EnvironmentFault
from copgen.storage.files import TEMPORARY_SUFFIX, disk_faults

LOCK = "LOCK"
_PATIENCE_S = 10.0  # for one that holds the folder alone for a moment, to lay it out


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` (made when missing) alone; the file LOCK names the process meanwhile.

    Raises:
        EnvironmentFault: another process holds it, or the folder cannot be written.
    """
    path = folder / LOCK
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _hold(path, fcntl.LOCK_EX)
    try:
        with disk_faults(path):
            _sign(handle)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


@contextmanager
def shared(folder: Path, *, first: Callable[[], None]) -> Iterator[None]:
    """Hold `folder` (made when missing) together with others that hold it so.

    Args:
        folder: what is held.
        first: called before, while this process holds the folder alone; not called where others hold it already.

    Raises:
        EnvironmentFault: another process holds it alone, or the folder cannot be written.
    """
    path = folder / LOCK
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle, alone = _hold_with_others(path)
    try:
        with disk_faults(path):
            _sign(handle)
        try:
            if alone:
                first()
                fcntl.flock(handle, fcntl.LOCK_SH)
            yield
        finally:
            _leave(path, handle)
    finally:
        os.close(handle)


def _hold_with_others(path: Path) -> tuple[int, bool]:
    """The handle, and whether it is held alone."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        for operation in (fcntl.LOCK_EX, fcntl.LOCK_SH):
            try:
                return _hold(path, operation), operation == fcntl.LOCK_EX
            except EnvironmentFault:
                if operation == fcntl.LOCK_SH and time.monotonic() > until:
                    raise
        time.sleep(0.05)


def _leave(path: Path, handle: int) -> None:
    """The last of those who share a folder takes the file away."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        pass


def _sign(handle: int) -> None:
    """Write this process's number into the file."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def _hold(path: Path, operation: int) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(handle, operation | fcntl.LOCK_NB)
            # A holder that ends between the two lines above removes the file: the lock is then on a nameless one, and
            # the next process would lock a new file beside it.
            if path.exists() and os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        except BlockingIOError:
            holder = os.read(handle, 64).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise EnvironmentFault(
                f"{path.parent} is in use by another copgen (process {holder}).",
                fix="Wait for it, or name another folder with --out.",
            ) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def refuse_foreign(folder: Path, *, mark: str, holds: str) -> None:
    """Refuse a folder that is not ours: it has content, but not the file `mark` that everything of copgen's has.

    Raises:
        EnvironmentFault: it is a file, or holds something else than `holds` ('a run', 'pairs').
    """
    if folder.exists() and not folder.is_dir():
        raise EnvironmentFault(f"{folder} is a file, not a folder.", fix="Name another folder with --out.")
    if not folder.is_dir():
        return
    others = sorted(
        entry.name for entry in folder.iterdir() if entry.name != LOCK and not entry.name.endswith(TEMPORARY_SUFFIX)
    )
    if others and mark not in others:
        raise EnvironmentFault(
            f"{folder} is not empty and holds no {holds} of copgen (it has '{others[0]}').",
            fix="Name another folder with --out.",
        )
