"""What is printed is complete and the same, whatever width COLUMNS gives the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Outcome, copgen
from tests.cli.surface import commands

WIDTHS = ("0", "1", "1000000000")


def at_width(monkeypatch: pytest.MonkeyPatch, columns: str, words: str) -> Outcome:
    monkeypatch.setenv("COLUMNS", columns)
    return copgen(*words.split())


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_help_of_every_command_is_complete(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, command in commands():
        outcome = at_width(monkeypatch, columns, f"{path} --help".removeprefix("copgen "))
        assert outcome.code == 0, path
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                names = f"--[no-]{parameter.opts[0][2:]}" if parameter.secondary_opts else ", ".join(parameter.opts)
                assert names in outcome.out, path
        for line in command.epilog.splitlines():
            assert line in outcome.out, path


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("recipes list", 0),
        ("recipes list --json", 0),
        ("recipes show digits", 0),
        ("recipes show digits --json", 0),
        ("generator list --json", 0),
        ("recipes show no-such-recipe", 2),
        ("recipes show no-such-recipe --json", 2),
        ("verify no-such-folder", 3),
        ("verify no-such-folder --json", 3),
        ("sample --no-such-flag --json", 2),
    ],
)
def test_results_and_errors_do_not_depend_on_it(
    words: str, code: int, columns: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = at_width(monkeypatch, "80", words)
    assert usual.code == code
    assert usual.out or usual.err
    assert at_width(monkeypatch, columns, words) == usual
