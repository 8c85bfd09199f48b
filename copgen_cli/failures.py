"""How a command fails: what is wrong and how to mend it, as two lines on stderr or one JSON document on stdout."""

from __future__ import annotations

import traceback

from rich.text import Text
from typer.exceptions import TyperException

from copgen.runtime.errors import CopgenError, ExitCode, UsageError
from copgen_cli.console import answer, stories

PREFIX = "Error: "


def usage_error(error: TyperException) -> UsageError:
    """The parser's error (an unknown option, a value it cannot take) in the form of all other errors."""
    context = getattr(error, "ctx", None)
    fix = getattr(error, "fix", "") or (f"See {context.command_path} --help." if context is not None else "")
    near = getattr(error, "possibilities", None)
    if near:
        return UsageError(f"{error.message}.", fix=f"Did you mean {' or '.join(sorted(near))}?")
    what = error.format_message()
    return UsageError(what if what.endswith((".", "?")) else f"{what}.", fix=fix)


def interrupted() -> CopgenError:
    """Ctrl-C outside a stage, which would have saved its state."""
    return CopgenError("Interrupted.", code=ExitCode.INTERRUPTED)


def fault(error: Exception) -> CopgenError:
    """An error that nobody foresaw."""
    name = type(error).__name__
    return CopgenError(
        f"This is a fault in copgen: {name}: {error}" if str(error) else f"This is a fault in copgen: {name}",
        fix="The same command with --debug shows where; please report it.",
        code=ExitCode.FAULT,
    )


def show(error: CopgenError, *, as_json: bool) -> int:
    """Tell of an error; returns its exit code."""
    if as_json:
        document = {"error": {"what": error.what, "fix": error.fix, "code": int(error.code)}}
        answer(document, [], as_json=True)
        return int(error.code)
    channel = stories()
    channel.tell(Text.assemble((PREFIX, "bold red"), error.what))
    if error.fix:
        channel.tell(" " * len(PREFIX) + error.fix)
    return int(error.code)


def show_traceback(error: Exception) -> None:
    """Where an unforeseen error came from."""
    stories().tell("".join(traceback.format_exception(error)).rstrip())
