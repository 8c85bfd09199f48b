"""`copgen`: the commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

import copgen
from copgen.runtime.environment import debug_wanted, placement
from copgen.runtime.errors import CopgenError, ExitCode
from copgen.runtime.signals import EndedEarly, ending_in_good_order
from copgen_cli import options as o
from copgen_cli.commands import group
from copgen_cli.table import COMMANDS, COPGEN

SPEAKING_S = 1.0  # for the first of several ranks: torchrun ends all of them as soon as one has failed


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"copgen {copgen.__version__}")
        raise typer.Exit()


Version = Annotated[
    bool,
    typer.Option("--version", metavar=o.FLAG, help="The version.", is_eager=True, callback=show_version),
]


def about(version: Version = False, help: o.PlainHelp = False) -> None:
    """The options of `copgen` itself."""


def main(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code."""
    # Looked for here, as an error in the arguments themselves must already be told in the form that was asked for.
    as_json, debug = "--json" in arguments, "--debug" in arguments or debug_wanted()
    # Of several ranks the first one speaks; it is told what the others find wrong. Workers of `sample` are alone.
    silent = False
    try:
        silent = placement().rank > 0 and list(arguments[:1]) != ["sample"]
        with ending_in_good_order():
            code = group(COMMANDS, "", about, COPGEN).main(
                args=list(arguments), prog_name="copgen", standalone_mode=False, obj=tuple(arguments)
            )
        if code == ExitCode.INTERRUPTED:
            raise KeyboardInterrupt  # the parser has already turned it into this code
        return int(code or ExitCode.DONE)
    except BaseException as error:
        return _failed(error, as_json=as_json, debug=debug, silent=silent)


def _failed(error: BaseException, *, as_json: bool, debug: bool, silent: bool) -> int:
    """Tell of what ended a command; its exit code."""
    from copgen_cli import failures  # most commands end well, and --help is to be quick

    try:
        raise error
    except SystemExit as ended:  # of the ranks that the command has started, and that have told it all
        return int(ended.code or ExitCode.DONE)
    except CopgenError as error:
        if silent and not error.of_one_rank:
            time.sleep(SPEAKING_S)
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
    sys.exit(main(sys.argv[1:]))
