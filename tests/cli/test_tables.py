"""Tables of answers: drawn within the width of a terminal, aligned lines elsewhere, names escaped in both."""

from __future__ import annotations

import io
import re

import pytest

from copgen_cli.console import Channel
from copgen_cli.tables import Table
from tests.cli.test_channels import Terminal

TABLE = Table(
    "digits\x1b[31m",
    ("probe", "Top-1 %", "std"),
    [("linear", "90.2", ""), ("1 label\nper class", "5.9", "+- 1.0")],
    best=0,
    notes=("a note",),
)


def shown(stream: io.StringIO, table: Table = TABLE) -> str:
    Channel(stream, "stdout").table(table)
    return stream.getvalue()


def test_lines_elsewhere() -> None:
    assert shown(io.StringIO()).splitlines() == [
        "probe               Top-1 %     std",
        "linear                 90.2       -",
        r"1 label\nper class      5.9  +- 1.0",
        "a note",
    ]


@pytest.mark.parametrize("columns", ["44", "80"])
def test_a_drawing_on_a_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    drawn = shown(Terminal())
    assert "\x1b[31m" not in drawn
    plain = re.sub(r"\x1b\[[0-9;]*m", "", drawn)
    assert max(map(len, plain.splitlines())) <= int(columns)
    assert "\u00b1 1.0" in plain
    assert "\u2500" in plain
    assert "90.2" in plain


def test_columns_without_a_cell_are_left_out() -> None:
    table = Table("", ("a", "b", "c"), [("x", "", "1"), ("y", "", "")]).filled()
    assert (table.columns, table.rows) == (("a", "c"), [("x", "1"), ("y", "")])
