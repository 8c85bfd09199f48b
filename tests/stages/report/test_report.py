"""`copgen report`: what it writes, what it replaces and refuses."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from copgen.stages.report import ReportSettings, stage, write_report
from tests.report.page import made


def test_the_page_and_its_pictures(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "runs" / "a b")
    made.pretrain_run(tmp_path / "runs" / "pretrain")
    out = tmp_path / "out"
    found = write_report(ReportSettings(runs=(tmp_path / "runs",)), out=out)
    assert found["report"] == str(out / "report.html")
    assert [one["run"] for one in found["runs"]] == [str(run), str(tmp_path / "runs" / "pretrain")]
    assert {path.name for path in out.iterdir()} == {"report.html", *found["pictures"]}
    assert {"a_b-evolution.png", "a_b-evolution.gif", "a_b-losses.png", "pretrain-loss.png"} <= {*found["pictures"]}
    for name in found["pictures"]:
        with Image.open(out / name) as picture:
            picture.load()
            assert picture.width > 400
    with Image.open(out / "a_b-evolution.gif") as film:
        assert getattr(film, "n_frames", 1) == 9


def test_the_same_runs_give_the_same_bytes_and_replace_the_report(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run")
    contents = []
    for _ in range(2):
        write_report(ReportSettings(runs=(run,)), out=tmp_path / "out")
        contents.append({path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()})
    assert contents[0] == contents[1]


def test_another_page_is_not_replaced(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run")
    (tmp_path / "report.html").write_text("<p>mine</p>")
    with pytest.raises(UsageError, match=r"report\.html"):
        write_report(ReportSettings(runs=(run,)), out=tmp_path)
    assert (tmp_path / "report.html").read_text() == "<p>mine</p>"


def test_runs_of_one_name_have_pictures_of_their_own(tmp_path: Path) -> None:
    runs = tuple(made.navigate_run(tmp_path / seed / "navigate") for seed in ("1", "2"))
    found = write_report(ReportSettings(runs=runs), out=tmp_path / "out")
    assert {"navigate-1-losses.png", "navigate-2-losses.png"} <= {*found["pictures"]}


def test_damage_is_told(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run")
    (run / "metrics.jsonl").write_text("{\n" + (run / "metrics.jsonl").read_text())
    told = io.StringIO()

    class Told:
        def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None: ...
        def advance(self, done: int, values: object) -> None: ...
        def end(self) -> None: ...
        def say(self, text: str) -> None: ...
        def warn(self, text: str) -> None:
            told.write(text)

    found = write_report(ReportSettings(runs=(run,)), out=tmp_path / "out", events=Told())
    assert found["runs"][0]["damaged_lines"] == 1
    assert "lines of metrics.jsonl are damaged and left out" in (tmp_path / "out" / "report.html").read_text()
    assert "metrics.jsonl" in told.getvalue()


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run")
    (tmp_path / "out").write_text("precious")
    with pytest.raises(EnvironmentFault, match=r"out is a file, not a folder"):
        write_report(ReportSettings(runs=(run,)), out=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "precious"


def test_a_page_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made.navigate_run(tmp_path / "run")
    monkeypatch.setattr(stage, "MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="MB"):
        write_report(ReportSettings(runs=(run,)), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        write_report(ReportSettings(runs=(tmp_path,)), out=tmp_path / "out")
