"""Text from outside, as it is shown: one line, no control characters, and commands that a shell reads back."""

from __future__ import annotations

import os
import subprocess

import pytest

from copgen.runtime.printable import command_line, is_utf8, printable

NAMES = [
    "plain",
    "two words",
    "caf\u00e9",
    "it's",
    "a\nb\tc",
    "\x1b[31mred",
    "caf\udce9",
    "\\back\udcff'quote'",
    "\u202egnp",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 [1]", "caf\u00e9 [1]"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f"),
        ("\x9b31m\u2028\u202e", "\\u009b31m\\u2028\\u202e"),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800\U000e0001", "\\ud800\\U000e0001"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_reads_the_name_back(name: str) -> None:
    line = command_line("printf", "%s", name)
    assert line.isprintable()
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == os.fsencode(name)


def test_surrogates_that_stand_for_no_byte_are_shown_all_the_same() -> None:
    assert command_line("ls", "\ud800") == "ls $'\\xed\\xa0\\x80'"
    assert not is_utf8("\ud800")
    assert is_utf8("\u202e\x1b")
