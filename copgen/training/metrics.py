"""Metrics of a run: kept on the device over several updates, fetched together, and written to `metrics.jsonl`.

`DeviceMetrics` batches the synchronisations with the device; `MetricsFile` writes one JSON object per line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.storage.files import disk_faults, write_text

FILE_NAME = "metrics.jsonl"


@dataclass(frozen=True)
class UpdateMetrics:
    """The metrics of one update.

    Attributes:
        update: its number, from 0.
        values: by name.
        weights: a copy of the weights after it, on the device; empty unless requested.
        finite: the names of those that must be finite.
    """

    update: int
    values: dict[str, float]
    weights: Mapping[str, Tensor]
    finite: tuple[str, ...]


class DeviceMetrics:
    """Keeps the metrics of up to `every` updates on the device."""

    def __init__(self, *, every: int) -> None:
        self.every = every
        self._kept: list[tuple[UpdateMetrics, tuple[str, ...], Tensor]] = []

    def keep(
        self,
        update: int,
        metrics: Mapping[str, Tensor | float],
        *,
        weights: Mapping[str, Tensor] | None = None,
        finite: tuple[str, ...] = (),
    ) -> None:
        """Keep scalars of an update, and a copy of weights, without synchronising with the device."""
        tensors = {name: value.detach().double() for name, value in metrics.items() if isinstance(value, Tensor)}
        rest = {name: 0.0 if isinstance(value, Tensor) else float(value) for name, value in metrics.items()}
        copies = {name: tensor.detach().clone() for name, tensor in (weights or {}).items()}
        stacked = torch.stack([*tensors.values()]) if tensors else torch.empty(0, dtype=torch.float64)
        self._kept.append((UpdateMetrics(update, rest, copies, finite), tuple(tensors), stacked))

    @property
    def full(self) -> bool:
        """Whether it is time to read."""
        return len(self._kept) >= self.every

    def read(self) -> list[UpdateMetrics]:
        """The metrics kept since the last call, in order, in one transfer."""
        kept, self._kept = self._kept, []
        if not kept:
            return []
        numbers = iter(torch.cat([stacked for _, _, stacked in kept]).tolist())
        for metrics, names, _ in kept:
            metrics.values.update({name: next(numbers) for name in names})
        return [metrics for metrics, _, _ in kept]


class MetricsFile:
    """`metrics.jsonl`: one JSON object per line with an `update` number, flushed at each line."""

    def __init__(self, path: Path, *, update: int) -> None:
        """Open for appending; lines beyond `update` (written after the checkpoint that is resumed) are dropped."""
        kept = [line for line in read_metrics(path) if line["update"] <= update]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._path = path
        self._stream = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def write(self, values: Mapping[str, Any]) -> None:
        with disk_faults(self._path):
            self._stream.write(json.dumps(dict(values)) + "\n")
            self._stream.flush()

    def close(self) -> None:
        with disk_faults(self._path):
            self._stream.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a metrics file; a last line truncated by a crash is dropped."""
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_text("utf-8-sig", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                break
            if not isinstance(line, dict) or not isinstance(line.get("update"), int):
                break
            lines.append(line)
    return lines
