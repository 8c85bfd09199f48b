"""The stage `compare`: files and folders in, a document out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import copgen
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.compare import CompareSettings, compare
from tests.report.comparison.made import made_by, written
from tests.stages.small import Recorder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three seeds of one rate and one of another, as copgen eval leaves them."""
    for seed in range(3):
        written(tmp_path / f"run-{seed}/eval/linear", made_by(seed, lr=0.1), top1=0.9 + seed / 100)
    written(tmp_path / "other/eval/linear", made_by(0, lr=0.2), top1=0.5)
    return tmp_path


def test_folders_files_and_folders_of_runs_are_the_same(runs: Path) -> None:
    whole = compare(CompareSettings(results=(runs,)), out=runs / "out")
    assert json.loads((runs / "out/comparison.json").read_text()) == json.loads(json.dumps(whole))
    parts = [runs / "other/eval/linear/results.json", runs / "run-0", runs / "run-1/eval/linear", runs / "run-2", runs]
    again = copgen.compare(copgen.CompareSettings(results=tuple(parts)))
    assert {**again, "results": sorted(again["results"])} == {**whole, "results": sorted(whole["results"])}
    cells = {row["apart"]: row["cells"][0] for row in whole["rows"]}
    assert (cells["lr 0.1"]["n"], cells["lr 0.2"]["n"]) == (3, 1)
    assert cells["lr 0.1"]["mean"] == pytest.approx(0.91)
    assert cells["lr 0.1"]["std"] == pytest.approx(0.01)
    assert cells["lr 0.1"]["paper"]["table"] == 9
    assert whole["columns"][0]["protocol"]["dataset.name"] == "mnist"


def test_rows_by_keys_and_with_names(runs: Path) -> None:
    settings = CompareSettings(results=(runs,), by=("method", "transform.name"))
    (row,) = compare(settings)["rows"]
    assert row["labels"] == ["simclr, optimal"]
    assert row["cells"][0]["n"] == 4
    named = compare(CompareSettings(results=(runs,), names=("b", "a")))
    assert [row["labels"] for row in named["rows"]] == [["b"], ["a"]]
    with pytest.raises(UsageError, match="'metod'") as caught:
        compare(CompareSettings(results=(runs,), by=("metod",)))
    assert "method" in caught.value.fix
    with pytest.raises(UsageError, match="1 names were given for 2 rows"):
        compare(CompareSettings(results=(runs,), names=("a",)))


@pytest.mark.parametrize("text", ["[1]", "{}", '{"kind": "eval-linear"}', '{"kind": "comparison", "format": 1}', "{"])
def test_files_that_are_no_results_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(DataError, match=r"results\.json"):
        compare(CompareSettings(results=(tmp_path,)))


def test_runs_without_results_are_named_and_passed_over(runs: Path) -> None:
    (runs / "navigate").mkdir()
    events = Recorder()
    found = compare(CompareSettings(results=tuple(sorted(runs.iterdir()))), events=events)
    assert found["without_results"] == [str(runs / "navigate")]
    assert sum(row["cells"][0]["n"] for row in found["rows"]) == 4
    assert any(str(runs / "navigate") in one for one in events.sentences)
    (runs / "other/eval/linear/results.json").write_text("{")  # a damaged result is an error still
    with pytest.raises(DataError, match=r"other/eval/linear/results\.json"):
        compare(CompareSettings(results=tuple(sorted(runs.iterdir()))))
    with pytest.raises(DataError, match="absent"):
        compare(CompareSettings(results=(runs / "run-0", runs / "absent")))


def test_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=tmp_path.name):
        compare(CompareSettings(results=(tmp_path,)))
    written(tmp_path, made_by(0), format=2)
    with pytest.raises(DataError, match="format 2"):
        compare(CompareSettings(results=(tmp_path,)))
    written(tmp_path, made_by(0), top1=None)
    with pytest.raises(DataError, match="number"):
        compare(CompareSettings(results=(tmp_path,)))
