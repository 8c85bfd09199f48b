"""docs/comparing.md is followed to the letter; its table as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import re
import shlex
from pathlib import Path

import pytest

from copgen_cli.compare import number
from tests.cli.command import copgen, on_streams
from tests.cli.test_channels import Terminal
from tests.report.comparison.made import made_by, written

PAGE = (Path(__file__).parents[2] / "docs" / "comparing.md").read_text("utf-8")
COMMANDS = re.findall(r"^    copgen (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def runs(here: Path) -> Path:
    """Two seeds of COP-Gen, and an encoder of real images, with two evaluations each."""
    for name, by in {"cop-gen-0": made_by(0), "cop-gen-1": made_by(1), "real": made_by(0, real="mnist")}.items():
        top1 = 0.9 if name == "cop-gen-0" else 0.92
        written(here / "runs" / name / "eval/linear", by, top1=top1)
        written(here / "runs" / name / "eval/knn", by, top1=top1 - 0.1, kind="knn", dataset="digits")
    return here / "runs"


@pytest.mark.usefixtures("runs")
def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(COMMANDS) == 6
    for command in COMMANDS:
        outcome = copgen(*shlex.split(command))
        assert outcome.code == 0, outcome.err
        assert "91" in outcome.out
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(program, {})
    assert "COP-Gen" in capsys.readouterr().out


@pytest.mark.usefixtures("runs")
def test_the_forms_have_the_same_cells() -> None:
    lines = list(csv.reader(io.StringIO(copgen("compare", "runs", "--format", "csv").out)))
    assert lines[0][:2] == ["method", "images"]
    assert len(lines) == 3
    marked = copgen("compare", "runs", "--format", "markdown").out.splitlines()
    assert [cell.strip() for cell in marked[2].strip("|").split("|")] == lines[1]
    assert "91.00 +- 1.41 (2)" in lines[1]
    assert "98.95, table 9" in lines[1]
    assert "99.35, table 9" in lines[2]
    assert copgen("compare", "runs", "--json").document["rows"][0]["cells"][0]["n"] == 2


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(("columns", "tables"), [("300", 1), ("80", 2)])
def test_a_narrow_terminal_has_a_table_for_each_evaluation(
    columns: str, tables: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    out = Terminal()
    assert on_streams(out, io.StringIO(), "compare", "runs") == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert plain.count("Mean \u00b1") == tables
    assert max(map(len, plain.splitlines())) <= int(columns)


@pytest.mark.usefixtures("runs")
def test_what_cannot_be_compared() -> None:
    assert copgen("compare").code == 2
    assert copgen("compare", "runs", "--format", "tex").code == 2
    assert copgen("compare", "runs", "--by", "lr,no-such").code == 2
    missing = copgen("compare", "runs", "no-such-run")
    assert missing.code == 3
    assert "no-such-run" in missing.err


@pytest.mark.usefixtures("runs")
def test_a_run_without_results_is_passed_over() -> None:
    Path("no-results").mkdir()
    told = copgen("compare", "runs", "no-results")
    assert told.code == 0
    assert "no-results" in told.err
    assert copgen("compare", "no-results").code == 3


@pytest.mark.parametrize(
    ("mean", "std", "factor", "text"),
    [
        (0.9022, 0.015, 100, "90.22 +- 1.50 (3)"),
        (0.9022, None, 100, "90.22"),
        (0.0041234, 0.0005, 1, "0.00412 +- 0.000500 (3)"),
        (0.0, None, 1, "0.00"),
        (-2.5, None, 1, "-2.50"),
    ],
)
def test_small_numbers_keep_their_digits(mean: float, std: float | None, factor: float, text: str) -> None:
    assert number({"mean": mean, "std": std, "n": 3}, factor) == text
