"""Running copgen in this process: the exit code and what went to each channel."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any, TextIO

from copgen_cli.main import main


@dataclass(frozen=True)
class Outcome:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout, which must be exactly one JSON document."""
        return json.loads(self.out)


def copgen(*words: object) -> Outcome:
    """`copgen WORDS...` with both channels caught; neither is a terminal."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return Outcome(code, out.getvalue(), err.getvalue())


def on_streams(out: TextIO, err: TextIO, *words: object) -> int:
    """The exit code of `copgen WORDS...` with these as stdout and stderr."""
    with redirect_stdout(out), redirect_stderr(err):
        return main([str(word) for word in words])
