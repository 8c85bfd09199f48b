"""Row numbers: as written, or from a file, and refused when they cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from copgen.runtime.errors import UsageError
from copgen.runtime.row_numbers import parse_rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [("5", (5,)), ("1,5,9", (1, 5, 9)), ("0-3", (0, 1, 2, 3)), ("7, 0-1", (7, 0, 1)), ("9 8", (9, 8)), ("007", (7,))],
)
def test_rows_come_in_the_order_they_are_written(text: str, rows: tuple[int, ...]) -> None:
    assert parse_rows(text) == rows


def test_a_file_has_them_with_comments(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("# ImageNet-100\n15\n45, 54  # two\n\n90-92\n")
    assert parse_rows(str(tmp_path / "classes.txt")) == (15, 45, 54, 90, 91, 92)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is not a row number"),
        ("a", "'a' is not a row number"),
        ("-1", "'-1' is not a row"),
        ("5-3", "'5-3' .*3-5"),
        ("0-1000000", "more than 1,000,000 row numbers"),
        ("1.5", "'1.5' is not a row number"),
        ("1.txt", "1.txt cannot be read"),
        ("no/such.txt", "no/such.txt cannot be read: No such file"),
    ],
)
def test_others_are_refused_with_their_part(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_rows(text)


def test_a_list_may_be_longer_than_a_name() -> None:
    rows = tuple(range(0, 4000, 2))
    assert parse_rows(",".join(map(str, rows))) == rows
