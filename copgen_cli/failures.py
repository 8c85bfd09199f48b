"""How a command fails: the error and its fix, as two lines on stderr or one JSON document on stdout."""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import Any

from typer.exceptions import TyperException

from copgen.runtime.errors import CopgenError, ExitCode, UsageError
from copgen_cli.console import OutputFault, answer, stories

PREFIX = "Error: "


def usage_error(error: TyperException) -> UsageError:
    """An error of the parser (an unknown option, an invalid value) in the form of all other errors."""
    context = getattr(error, "ctx", None)
    fix = getattr(error, "fix", "") or (f"See {context.command_path} --help." if context is not None else "")
    near = getattr(error, "possibilities", None)
    if near:
        return UsageError(f"{error.message}.", fix=f"Did you mean {' or '.join(sorted(near))}?")
    what = error.format_message()
    return UsageError(what if what.endswith((".", "?")) else f"{what}.", fix=fix)


def interrupted() -> CopgenError:
    """Ctrl-C outside a stage."""
    return CopgenError("Interrupted.", code=ExitCode.INTERRUPTED)


def fault(error: Exception) -> CopgenError:
    """An unexpected error."""
    text = "".join(traceback.format_exception_only(error)).strip()
    return CopgenError(
        f"Internal error (a bug): {text}",
        fix="Run the same command with --debug, and report the traceback.",
        code=ExitCode.FAULT,
    )


def document(error: CopgenError) -> dict[str, Any]:
    """An error as part of a JSON document."""
    return {"error": {"what": error.what, "fix": error.fix, "code": int(error.code)}}


def show(error: CopgenError, *, as_json: bool) -> int:
    """Report an error; returns its exit code."""
    if as_json and not isinstance(error, OutputFault):
        with suppress(OutputFault):
            answer(document(error), [], as_json=True)
            return int(error.code)
    with suppress(OutputFault):  # nobody can read it then
        channel = stories()
        channel.tell((PREFIX, "bold red"), error.what)
        if error.fix:
            channel.tell(" " * len(PREFIX), error.fix)
    return int(error.code)


def show_traceback(error: Exception) -> None:
    """The traceback of an unexpected error."""
    with suppress(OutputFault):
        stories().page("".join(traceback.format_exception(error)))
