"""The one exception a user can cause, and the exit codes that the command line gives for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command; 75 and 130 are the shell's own conventions."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    DATA = 3
    ENVIRONMENT = 4
    DIVERGED = 5
    STOPPED = 75
    INTERRUPTED = 130


class CopgenError(Exception):
    """Something that a user can cause and mend.

    Args:
        what: what is wrong, where, and with which value; one sentence.
        fix: what to do about it; one sentence, or empty when the first says it all.
        code: the exit code that the command line gives.
    """

    def __init__(self, what: str, *, fix: str = "", code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(f"{what} {fix}".strip())
        self.what = what
        self.fix = fix
        self.code = code


class UsageError(CopgenError):
    """A setting or an argument that cannot be meant: exit 2."""

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what, fix=fix, code=ExitCode.USAGE)


class DataError(CopgenError):
    """A file whose content is not what it should be: exit 3."""

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what, fix=fix, code=ExitCode.DATA)


class EnvironmentFault(CopgenError):
    """The machine does not let us: no such device, folder not writable, disk full, locked: exit 4."""

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what, fix=fix, code=ExitCode.ENVIRONMENT)


class Diverged(CopgenError):
    """A loss that is no longer a finite number: exit 5."""

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what, fix=fix, code=ExitCode.DIVERGED)


class Stopped(CopgenError):
    """The run was asked to stop and did so in good order: exit 75 (SIGTERM) or 130 (Ctrl-C)."""

    def __init__(self, what: str, *, fix: str = "", code: ExitCode) -> None:
        super().__init__(what, fix=fix, code=code)


def nearest(name: str, known: Iterable[str]) -> str:
    """'Did you mean X?' for the known name nearest to `name`; otherwise the list of all known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}."


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a `kind` ('generator', 'recipe', ...) called `name` that is not among the known ones."""
    return UsageError(f"There is no {kind} '{name}'.", fix=nearest(name, known))
