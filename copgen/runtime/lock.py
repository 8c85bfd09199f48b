"""One writer per folder: an advisory lock that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.files import TEMPORARY_SUFFIX, disk_faults

LOCK = "LOCK"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` (made when missing) alone; the file LOCK names the process meanwhile.

    Raises:
        EnvironmentFault: another process holds it, or the folder cannot be written.
    """
    path = folder / LOCK
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _hold(path)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _hold(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
