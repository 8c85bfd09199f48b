"""CopgenError, the base class of all errors that a user can cause, and the exit codes of the command line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command; 75 and 130 follow sysexits.h and the shell."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    DATA = 3
    ENVIRONMENT = 4
    DIVERGED = 5
    STOPPED = 75
    INTERRUPTED = 130


class CopgenError(Exception):
    """An error that a user can cause and fix.

    Args:
        what: what is wrong, where, and with which value; one sentence.
        fix: what to do about it; one sentence, or empty if `what` suffices.
        code: the exit code of the command line; None for that of the class.

    Attributes:
        of_one_rank: the rank that has the error must report it: rank 0 may not have it, and cannot be told of it.
    """

    code = ExitCode.USAGE
    of_one_rank = False

    def __init__(self, what: str, *, fix: str = "", code: ExitCode | None = None) -> None:
        super().__init__(f"{what} {fix}".strip())
        self.what = what
        self.fix = fix
        self.code = self.code if code is None else code


class UsageError(CopgenError):
    """An invalid setting or argument: exit 2."""


class DataError(CopgenError):
    """A missing, corrupt or unexpected file: exit 3."""

    code = ExitCode.DATA


class EnvironmentFault(CopgenError):
    """A problem of the machine, such as a missing device, a full disk or a locked folder: exit 4."""

    code = ExitCode.ENVIRONMENT


class Diverged(CopgenError):
    """A loss that is no longer a finite number: exit 5."""

    code = ExitCode.DIVERGED


class Stopped(CopgenError):
    """The run was stopped by a signal and has saved its state: exit 75 (SIGTERM) or 130 (Ctrl-C)."""

    code = ExitCode.STOPPED


def nearest(name: str, known: Iterable[str]) -> str:
    """'Did you mean X?' for the nearest known name, or those with the word `name`; otherwise all known names."""
    names = sorted(known)
    having = [one for one in names if name in re.split("[-_]", one)]
    close = having or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"Known: {', '.join(names)}."


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for an unknown `name` of a `kind` ('generator', 'recipe', ...)."""
    return UsageError(f"There is no {kind} '{name}'.", fix=nearest(name, known))
