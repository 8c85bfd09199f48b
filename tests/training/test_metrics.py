"""Metrics: many updates are read at once, and a crash truncates no more than the last line of the file."""

from __future__ import annotations

import codecs
import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen.runtime.errors import EnvironmentFault
from copgen.training.metrics import DeviceMetrics, MetricsFile, read_metrics


def test_metrics_are_fetched_together_in_their_order() -> None:
    kept = DeviceMetrics(every=3)
    weight = torch.zeros(2)
    for update in range(3):
        assert not kept.full
        kept.keep(
            update, {"a": torch.tensor(update), "chance": 2.5, "b": torch.tensor(0.5 * update)}, weights={"w": weight}
        )
        weight += 1
    assert kept.full
    found = kept.read()
    assert [(metrics.update, metrics.values) for metrics in found] == [
        (update, {"a": float(update), "chance": 2.5, "b": 0.5 * update}) for update in range(3)
    ]
    assert [metrics.weights["w"].tolist() for metrics in found] == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    assert kept.read() == []


def lines(path: Path) -> list[int]:
    return [line["update"] for line in read_metrics(path)]


@pytest.mark.parametrize("update", [0, 3, 5, 9])
def test_metrics_beyond_the_checkpoint_are_dropped(tmp_path: Path, update: int) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path, update=0)
    for n in range(1, 6):
        metrics.write({"update": n, "loss": 0.1 * n})
    metrics.close()
    before = path.read_text().splitlines()
    MetricsFile(path, update=update).close()
    assert path.read_text().splitlines() == before[:update]


@pytest.mark.parametrize(
    "torn", ['{"update": 3, "lo', "{", '{"update": 3}x', "3", "null", '{"loss": 1.0}', "\ufffd", "\x00\x00\x00"]
)
def test_a_torn_last_line_is_dropped(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 1}\n{"update": 2}\n' + torn)
    assert lines(path) == [1, 2]
    metrics = MetricsFile(path, update=2)
    metrics.write({"update": 3, "loss": 0.5})
    metrics.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"update": 1},
        {"update": 2},
        {"update": 3, "loss": 0.5},
    ]


def test_a_line_torn_within_a_letter_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"update": 1}\n{"update": 2, "name": "\xc3')
    assert lines(path) == [1]


def test_metrics_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    metrics = MetricsFile(path, update=0)
    metrics.write({"update": 1})
    assert lines(path) == [1]
    metrics.close()


class FullDisk:
    """A stream on a disk without space."""

    def write(self, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = close = lambda self: None


def test_a_full_disk_is_an_environment_fault(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl", update=0)
    metrics.close()
    stream: Any = FullDisk()
    metrics._stream = stream
    with pytest.raises(EnvironmentFault, match="disk is full"):
        metrics.write({"update": 1})


def test_a_metrics_file_of_another_system_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        codecs.BOM_UTF8 + b'{"update": 1, "loss": 2.0}\r\n{"update": 2, "loss": 1.0}\r\n{"update": "3"}\r\n'
    )
    assert read_metrics(path) == [{"update": 1, "loss": 2.0}, {"update": 2, "loss": 1.0}]
