"""docs/results.md has every number of the paper that copgen knows, in the section of its table, and every pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from copgen.report.comparison.paper import _rows
from tests.test_source import ROOT

PAGE = (ROOT / "docs/results.md").read_text("utf-8")
SECTIONS = {int(part[:2].strip("\n")): part for part in PAGE.split("\n## Table ")[1:]}


def numbers(row: dict[str, Any]) -> Iterator[str]:
    """As a table shows them, with the digits of the paper."""
    for name, value in row.items():
        if name.startswith("top"):
            yield " ± ".join(f"{one:.2f}" for one in value) if isinstance(value, list) else f"{value:.2f}"
        elif name.startswith("scores"):
            yield " ± ".join(f"{one:.1f}" for one in value)
        elif name.startswith("voc07"):
            yield f"{value:.2f}"


@pytest.mark.parametrize("table", [6, 7, 8, 9, 10])
def test_a_table_has_the_numbers_of_the_paper(table: int) -> None:
    known = [text for number, row in _rows() if number == table for text in numbers(dict(row))]
    assert len(known) >= 4
    cells = re.findall(r"(?<=\| )[^|]*(?= \|)", SECTIONS[table].split("\n## ")[0])
    assert sorted(set(known) - set(cells)) == []


def test_it_names_every_pipeline() -> None:
    scripts = {path.name for path in (ROOT / "pipelines").glob("*.sh")}
    assert len(scripts) > 6
    assert {name for name in scripts if name not in PAGE} == set()
