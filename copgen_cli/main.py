"""`copgen`: the commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

import copgen
from copgen.runtime.environment import debug_wanted, placement
from copgen.runtime.errors import CopgenError, ExitCode
from copgen.runtime.path_errors import path_errors
from copgen.runtime.printable import printable
from copgen.runtime.signals import EndedEarly, raising_on_signals
from copgen_cli import options as o
from copgen_cli.commands import group
from copgen_cli.console import answers
from copgen_cli.table import COMMANDS, COPGEN

GRACE_S = 1.0  # for rank 0 to report the error: torchrun ends all ranks as soon as one has failed


def warning_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning of Python as other messages look, whatever names are in it."""
    return f"Warning: {printable(str(message))}\n"


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        answers().tell(f"copgen {copgen.__version__}")
        raise typer.Exit()


Version = Annotated[bool, o.option("--version", help="Show the version.", is_eager=True, callback=show_version)]


def about(version: Version = False, help: o.PlainHelp = False) -> None:
    """The options of `copgen` itself."""


def main(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code."""
    # Read before parsing, as an error in the arguments has to be reported in this form, too.
    as_json, debug = "--json" in arguments, "--debug" in arguments or debug_wanted()
    # Only rank 0 logs; it learns of errors on the others. Workers of `sample` are independent.
    silent = False
    try:
        silent = placement().rank > 0 and list(arguments[:1]) != ["sample"]
        with raising_on_signals(), path_errors():
            code = group(COMMANDS, "", about, COPGEN).main(
                args=list(arguments), prog_name="copgen", standalone_mode=False, obj=tuple(arguments)
            )
        if code == ExitCode.INTERRUPTED:
            raise KeyboardInterrupt  # the parser has already turned it into this code
        return int(code or ExitCode.DONE)
    except BaseException as error:
        return _failed(error, as_json=as_json, debug=debug, silent=silent)


def _failed(error: BaseException, *, as_json: bool, debug: bool, silent: bool) -> int:
    """Report what ended a command; its exit code."""
    from copgen_cli import failures  # imported only here, so that --help starts quickly

    try:
        raise error
    except SystemExit as ended:  # of the ranks that the command has started, which have reported it
        return int(ended.code or ExitCode.DONE)
    except CopgenError as error:
        if debug and isinstance(error.__cause__, OSError):
            failures.show_traceback(error)
        if silent and not error.of_one_rank:
            time.sleep(GRACE_S)
            return int(error.code)
        return failures.show(error, as_json=as_json)
    except TyperException as error:
        if not error.format_message():  # no arguments: the help has been printed
            return int(ExitCode.USAGE)
        return failures.show(failures.usage_error(error), as_json=as_json)
    except EndedEarly as ended:
        return int(ended.error.code) if silent else failures.show(ended.error, as_json=as_json)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED) if silent else failures.show(failures.interrupted(), as_json=as_json)
    except Exception as error:
        if debug:
            failures.show_traceback(error)
        return failures.show(failures.fault(error), as_json=as_json)


def run() -> NoReturn:
    """The console script."""
    warnings.formatwarning = warning_line
    sys.exit(main(sys.argv[1:]))
