"""Errors of the operating system about a path (no permission, a name too long, a link to itself) as copgen's, exit 4.

Any look at a path can raise them, `Path.exists` too. They are converted where a stage or a command is called, so that
no single look needs a handler of its own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.urls import refuse_url

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_FIXES = {
    **dict.fromkeys(FULL, "Free some space and run the same command again."),
    errno.EROFS: "Choose a path on a disk that is not mounted read-only.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "It is a symbolic link that leads back to itself: remove it, or choose another path.",
    errno.ENOTDIR: "A part of this path is a file, not a folder: choose another path.",
    errno.EISDIR: "It is a folder, not a file: choose another path.",
    errno.EEXIST: "It is a file, not a folder: choose another path.",
    errno.ENOENT: "Check the path.",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Raise the limit of open files, for example with: ulimit -n 65536"),
}
# Without a path these are the caller's mistakes, or an answer, and not a state of the machine.
NO_FAULTS = {
    None,
    errno.EBADF,
    errno.EINVAL,
    errno.EFAULT,
    errno.ESPIPE,
    errno.ENOTTY,
    errno.EPIPE,
    errno.EAGAIN,
    errno.EINTR,
    errno.ECHILD,
}


@contextmanager
def path_errors() -> Iterator[None]:
    """Turn the operating system's errors about files into an error that names path and remedy; also a decorator.

    Raises:
        EnvironmentFault: an OSError with a path, or one that only the machine can cause, such as EIO.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in NO_FAULTS:
            raise
        raise path_error(error) from error


@path_errors()
def folder_if_any(folder: Path) -> Path:
    """A folder that need not exist.

    Raises:
        UsageError: it is a URL.
        EnvironmentFault: it is not a folder, or this process may not look into it.
    """
    refuse_url(folder, writing=True)
    with suppress(FileNotFoundError):
        os.stat(f"{folder}/.")
    return folder


def path_error(error: OSError, path: Path | None = None, *, access: str = "accessed") -> EnvironmentFault:
    """The error for an OSError.

    Args:
        error: of the operating system.
        path: what the user knows; None: the path in the error.
        access: what failed: 'accessed', 'read' or 'written'.
    """
    if path is None and isinstance(error.filename, (str, bytes)):
        path = Path(os.fsdecode(error.filename))
    reason = error.strerror or str(error)
    if path is None:
        return EnvironmentFault(f"A file cannot be {access}: {reason}.", fix=_fix(error.errno, None))
    if error.errno in FULL:
        return EnvironmentFault(f"The disk is full: {path} could not be {access}.", fix=_fix(error.errno, path))
    return EnvironmentFault(f"{path} cannot be {access}: {reason}.", fix=_fix(error.errno, path))


def _fix(number: int | None, path: Path | None) -> str:
    """What to do about an error number."""
    if number in _FORBIDDEN and path is not None:
        return f"Change the permissions of {_barrier(path)}, or choose another path."
    return _FIXES.get(number or 0, "Check the disk that it is on, and the connection to it.")


def _barrier(path: Path) -> Path:
    """What keeps this process out: the first folder that it may not enter, or else the last that it may not change."""
    folders = [folder for folder in path.parents if folder != Path()]
    closed = [folder for folder in reversed(folders) if not _may(folder, os.X_OK)]
    fixed = [place for place in (path, *folders) if os.path.lexists(place) and not _may(place, os.W_OK)]
    return (*closed, *fixed, path)[0]


def _may(path: Path, access: int) -> bool:
    return os.access(path, access, effective_ids=os.access in os.supports_effective_ids)
