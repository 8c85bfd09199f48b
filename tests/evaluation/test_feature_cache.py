"""Features on disk: several evaluations of an encoder may write them at the same time, as they share them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from copgen.evaluation import parts
from copgen.evaluation.feature_cache import keep, kept
from copgen.evaluation.parts import Parts

FEATURES = torch.arange(12, dtype=torch.float32).view(4, 3)


def written_meanwhile(write: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """`write` is called by another evaluation just before the file of the next one gets its name."""
    replace, others = os.replace, [write]

    def late(source: str, target: str) -> None:
        while others:
            others.pop()()
        replace(source, target)

    monkeypatch.setattr(os, "replace", late)


def test_two_evaluations_write_the_same_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "features/train.safetensors"
    written_meanwhile(lambda: keep(file, FEATURES, key="k"), monkeypatch)
    keep(file, FEATURES, key="k")
    found = kept(file, (4, 3), key="k")
    assert found is not None
    assert torch.equal(found, FEATURES)
    assert list(file.parent.iterdir()) == [file]


def test_two_evaluations_write_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SECONDS", 0.0)
    ours, others = Parts(tmp_path / "rows", "k"), Parts(tmp_path / "rows", "k")
    written_meanwhile(lambda: others.reached(FEATURES, 2), monkeypatch)
    ours.reached(FEATURES, 3)
    rows = torch.zeros_like(FEATURES)
    assert Parts(tmp_path / "rows", "k").resume(rows) == 3
    assert torch.equal(rows[:3], FEATURES[:3])


def test_another_evaluation_has_ended_while_rows_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SECONDS", 0.0)
    ours = Parts(tmp_path / "rows", "k")
    ours.reached(FEATURES, 1)
    written_meanwhile(Parts(tmp_path / "rows", "k").remove, monkeypatch)
    ours.reached(FEATURES, 2)
    ours.reached(FEATURES, 3)
    rows = torch.zeros_like(FEATURES)
    assert Parts(tmp_path / "rows", "k").resume(rows) == 3
    assert torch.equal(rows[:3], FEATURES[:3])
