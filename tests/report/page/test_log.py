"""Metrics files that are damaged, or being written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copgen.report.page.log import Curve, read_log


def lines(*updates: int) -> str:
    return "".join(json.dumps({"update": one, "samples": 10 * one, "loss": 1.0 / one}) + "\n" for one in updates)


def test_curves_are_over_samples(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(1, 2, 4))
    log = read_log(path)
    assert log.curves["loss"] == Curve([10.0, 20.0, 40.0], [1.0, 0.5, 0.25])
    assert (log.lines, log.damaged, log.last("loss"), log.last("other")) == (3, 0, 0.25, None)


@pytest.mark.parametrize(
    "between", ["\0\0\0", "{", "[1]", '"text"', '{"loss": 1.0}', '{"samples": "a"}', '{"samples": NaN}', "\ud800"]
)
def test_damaged_lines_are_skipped_and_counted(between: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes((lines(1) + between + "\n" + lines(2)).encode(errors="surrogatepass"))
    log = read_log(path)
    assert (log.lines, log.damaged, log.curves["loss"].x) == (2, 1, [10.0, 20.0])


def test_a_last_line_that_is_being_written_is_not_damage(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(1) + lines(2)[:10])
    assert (read_log(path).lines, read_log(path).damaged) == (1, 0)


def test_values_that_no_chart_can_show_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"samples": 1, "a": NaN, "b": Infinity, "c": true, "d": "x", "e": 1e301, "f": 2}\n')
    assert set(read_log(path).curves) == {"samples", "f"}


def test_other_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(1, 2).replace("\n", "\r\n").encode())
    assert (read_log(path).lines, read_log(path).damaged) == (2, 0)


def test_without_a_file_there_are_no_curves(tmp_path: Path) -> None:
    assert read_log(tmp_path / "metrics.jsonl").curves == {}


def test_thinning_keeps_the_mean_and_the_ends() -> None:
    curve = Curve([float(k) for k in range(1000)], [2.0 * k for k in range(1000)])
    thin = curve.thinned(100)
    assert len(thin.x) == 100
    assert sum(thin.y) / 100 == pytest.approx(sum(curve.y) / 1000)
    assert curve.thinned(1000) is curve
