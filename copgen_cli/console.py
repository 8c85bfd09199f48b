"""The two channels: results go to stdout, everything else to stderr.

Control characters and colours go to terminals only, and only copgen's own: those in names and messages are escaped, as
is what the stream cannot encode. A closed pipe (`| head -1`) is not an error; a full device is.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console
from rich.text import Text

from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.printable import escape, printable
from copgen.storage.files import disk_faults
from copgen_cli.tables import Table

Row = tuple[str, str]
Shown = Row | Table  # a part of an answer
Part = str | tuple[str, str]  # text, or text and its style
NARROWEST, WIDEST, USUAL = 20, 1000, 80  # columns: limits for what COLUMNS says, and the width if it says 0
_PLAIN = {ord("\u2026"): "~"}  # what rich draws without asking for the encoding: the mark of a cropped text


class OutputFault(EnvironmentFault):
    """stdout or stderr cannot be written."""


class Encodable:
    """A text stream that escapes what its encoding lacks, such as `PYTHONIOENCODING=ascii`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text; a character that cannot be encoded becomes an escape."""
        if not self._encodes(text):
            text = "".join(one if self._encodes(one) else escape(one) for one in text.translate(_PLAIN))
        return self._stream.write(text)

    def _encodes(self, text: str) -> bool:
        try:
            text.encode(self._stream.encoding or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Channel(Console):
    """A console on stdout or stderr that goes quiet when its pipe is closed."""

    def __init__(self, stream: TextIO | None, name: str) -> None:
        stream = stream or io.StringIO()  # closed by the parent process
        terminal = stream.isatty()
        self._place = Path(f"<{name}>")
        file = cast(TextIO, Encodable(stream))
        super().__init__(file=file, force_terminal=terminal, highlight=False, emoji=False)
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

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Inside this context output is written, and flushed where a failure can be reported, not at exit.

        Raises:
            OutputFault: the device is full, or otherwise not writable; further output is discarded.
        """
        try:
            with disk_faults(self._place):
                yield
                self.file.flush()
        except BrokenPipeError:
            self.on_broken_pipe()
        except EnvironmentFault as error:
            self.on_broken_pipe()
            raise OutputFault(error.what, fix=error.fix) from None
        except OSError as error:
            self.on_broken_pipe()
            raise OutputFault(
                f"{self._place} cannot be written: {error.strerror}.", fix="Redirect the output to another place."
            ) from None

    def tell(self, *parts: Part) -> None:
        """Print one line without markup, wrapping or cropping."""
        line = Text()
        for part in parts:
            text, style = (part, "") if isinstance(part, str) else part
            line.append(printable(text), style)
        self._put(line)

    def page(self, text: str) -> None:
        """Print a text of several lines in the same way."""
        self._put(Text("\n".join(map(printable, text.rstrip().split("\n")))))

    def table(self, table: Table) -> None:
        """Draw a table on a terminal, within its width; elsewhere print its lines."""
        if not self.is_terminal:
            self.page("\n".join(table.lines()))
            return
        with self.writing():
            for part in table.drawn(unicode=self.encoding.startswith("utf")):
                self.print(part)

    def _put(self, text: Text) -> None:
        with self.writing():
            self.print(text, soft_wrap=True)


def answers() -> Channel:
    """stdout."""
    return Channel(sys.stdout, "stdout")


def stories() -> Channel:
    """stderr."""
    return Channel(sys.stderr, "stderr")


def answer(document: Mapping[str, Any], parts: Sequence[Shown], *, as_json: bool) -> None:
    """Print the result of a command: one JSON document, or its tables, and a line per (name, value)."""
    channel = answers()
    if as_json:
        channel.page(json.dumps(document, indent=2, allow_nan=False))  # in ASCII
        return
    width = max((len(printable(part[0])) for part in parts if not isinstance(part, Table)), default=0)
    for part in parts:
        if isinstance(part, Table):
            channel.table(part)
        else:
            channel.tell((printable(part[0]).ljust(width), "bold"), "  ", part[1])
