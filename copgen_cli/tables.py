"""Tables of numbers in the answer of a command: with rules and colours on a terminal, aligned lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from copgen.runtime.printable import printable

ABSENT = "-"


@dataclass(frozen=True)
class Table:
    """Rows of cells that are already text.

    Attributes:
        title: in a few words.
        columns: their names, with units; with a line break where there is room for one.
        rows: as many cells each; an empty one is shown as a dash. "+-" becomes one sign where there is one.
        texts: how many of the first columns are texts; those after them are numbers, on the right.
        best: the row of the main result, if any.
        notes: below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    texts: int = 1
    best: int | None = None
    notes: Sequence[str] = field(default=())

    def filled(self) -> Table:
        """Without the columns that have no cell."""
        kept = [number for number in range(len(self.columns)) if any(row[number] for row in self.rows)]
        columns = tuple(self.columns[number] for number in kept)
        rows = [tuple(row[number] for number in kept) for row in self.rows]
        return replace(self, columns=columns, rows=rows)

    @property
    def width(self) -> int:
        """Of its drawing, in characters."""
        names = (max(map(len, name.split("\n"))) for name in self.columns)
        cells = (max((len(row[number]) for row in self.rows), default=0) for number in range(len(self.columns)))
        return sum(max(name, cell) + 3 for name, cell in zip(names, cells, strict=True)) + 1

    def lines(self) -> Iterator[str]:
        """Aligned lines: the names of the columns, the rows, the notes."""
        cells = [tuple(name.replace("\n", " ") for name in self.columns), *self.rows]
        shown = [[printable(cell or ABSENT) for cell in row] for row in cells]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        for row in shown:
            padded = [
                cell.ljust(width) if number < self.texts else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            yield "  ".join(padded).rstrip()
        yield from map(printable, self.notes)

    def drawn(self, *, unicode: bool) -> Iterator[Any]:
        """What rich prints on a terminal: the table, and its notes."""
        from rich import box
        from rich.table import Table as Drawing
        from rich.text import Text

        def text(cell: str, style: str = "") -> Text:
            return Text(printable(cell).replace("+-", "\u00b1") if unicode else printable(cell), style)

        title = text(self.title, "bold") if self.title else None
        drawing = Drawing(title=title, title_justify="left", box=box.HORIZONTALS, header_style="bold")
        for number, name in enumerate(self.columns):
            head = Text("\n").join(map(text, name.split("\n")))
            drawing.add_column(head, justify="left" if number < self.texts else "right", overflow="fold")
        for number, row in enumerate(self.rows):
            style = "bold green" if number == self.best else ""
            drawing.add_row(*(text(cell) if cell else text(ABSENT, "dim") for cell in row), style=style)
        yield drawing
        yield from (text(note, "dim") for note in self.notes)
