"""Rows and fits that are on disk are not computed again; what is damaged, or of another computation, is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from copgen.evaluation import journal, parts
from copgen.evaluation.journal import Journal
from copgen.evaluation.parts import Parts
from copgen.runtime.events import Silent

ROWS = torch.arange(30.0).view(10, 3)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SECONDS", 0.0)
    monkeypatch.setattr(journal, "SECONDS", 0.0)


def damaged(folder: Path) -> None:
    second = folder / "rows-000000000003.safetensors"
    second.write_bytes(second.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("change", "key", "there"),
    [
        (lambda folder: None, "a", 7),
        (lambda folder: None, "b", 0),
        (damaged, "a", 3),
        (lambda folder: (folder / "rows-000000000000.safetensors").unlink(), "a", 0),
    ],
)
def test_rows(change: Callable[[Path], None], key: str, there: int, tmp_path: Path) -> None:
    first = Parts(tmp_path / "p", "a")
    assert first.resume(torch.empty(10, 3)) == 0
    for done in (3, 7):
        first.reached(ROWS, done)
    change(tmp_path / "p")
    rows = torch.zeros(10, 3)
    again = Parts(tmp_path / "p", key)
    assert again.resume(rows) == there
    assert torch.equal(rows[:there], ROWS[:there])
    again.reached(ROWS, 9)
    assert Parts(tmp_path / "p", key).resume(rows) == 9
    assert Parts(tmp_path / "p", key).resume(rows.long()) == 0
    again.remove()
    assert list(tmp_path.iterdir()) == []


def test_rows_are_written_from_time_to_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SECONDS", 60.0)
    some = Parts(tmp_path / "p", "a")
    some.resume(torch.empty(10, 3))
    some.reached(ROWS, 5)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(("key", "text", "made"), [("a", None, 1), ("b", None, 3), ("a", "[1]", 3), ("a", "{", 3)])
def test_fits(key: str, text: str | None, made: int, tmp_path: Path) -> None:
    path, calls = tmp_path / "fits.json", list[str]()

    def filled(key: str, names: str) -> list[object]:
        kept = Journal(path, key, Silent())

        def make(name: str) -> Callable[[], object]:
            def made() -> object:
                calls.append(name)
                return 0.1, name

            return made

        return [kept.below("x")(name, make(name)) for name in names]

    first = filled("a", "uv")
    if text is not None:
        path.write_text(text)
    calls.clear()
    again = filled(key, "uvw")
    assert again[:2] == first == [[0.1, "u"], [0.1, "v"]]
    assert len(calls) == made
    Journal(path, key, Silent()).remove()
    assert not path.exists()
