"""The two channels: results go to stdout, everything else to stderr.

Control characters and colours go to terminals only. A closed pipe (`| head -1`) is not an error.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from copgen.runtime.errors import CopgenError
from copgen.storage.files import disk_faults

Row = tuple[str, str]
NARROWEST, WIDEST, USUAL = 20, 1000, 80  # columns: limits for what COLUMNS says, and the width if it says 0


class Channel(Console):
    """A console on stdout or stderr that goes quiet when its pipe is closed."""

    def __init__(self, stream: TextIO | None, name: str) -> None:
        stream = stream or io.StringIO()  # closed by the parent process
        terminal = stream.isatty()
        self._place = Path(f"<{name}>")
        super().__init__(file=stream, force_terminal=terminal, highlight=False, emoji=False)
        columns = self.width
        if not NARROWEST <= columns <= WIDEST:
            self.width = min(max(columns or USUAL, NARROWEST), WIDEST)

    @property
    def animated(self) -> bool:
        """Whether it can redraw a line."""
        return self.is_terminal and not self.is_dumb_terminal

    def on_broken_pipe(self) -> None:
        """Discard further output; the interpreter flushes its streams once more at exit."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)

    def tell(self, text: str | Text) -> None:
        """Print one line without markup, wrapping or cropping."""
        try:
            with disk_faults(self._place):
                self.print(text, markup=False, soft_wrap=True)
                self.file.flush()  # here, where a failure can be reported, not at exit
        except BrokenPipeError:
            self.on_broken_pipe()
        except CopgenError:
            self.on_broken_pipe()
            raise


def answers() -> Channel:
    """stdout."""
    return Channel(sys.stdout, "stdout")


def stories() -> Channel:
    """stderr."""
    return Channel(sys.stderr, "stderr")


def answer(document: Mapping[str, Any], rows: Sequence[Row], *, as_json: bool) -> None:
    """Print the result of a command: one JSON document, or a line per (name, value)."""
    channel = answers()
    if as_json:
        channel.tell(json.dumps(document, indent=2, allow_nan=False))
        return
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        channel.tell(Text.assemble((name.ljust(width), "bold"), "  ", value))
