"""Checkpoints: what is saved is restored, the newest valid one is found, and the last valid one is never deleted."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from copgen.storage.files import TEMPORARY_SUFFIX
from copgen.storage.state_tree import pack, unpack
from copgen.training.checkpoints import Checkpoints
from tests.distributed.listeners import Kept


def equal(a: Any, b: Any) -> bool:
    """Equal trees, bit by bit; a tuple may have become a list."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def through_json(tree: Any) -> Any:
    tensors: dict[str, Tensor] = {}
    return unpack(json.loads(json.dumps(pack(tree, tensors))), tensors)


@pytest.mark.parametrize(
    "tree",
    [
        None,
        True,
        3,
        0.1,
        -0.0,
        1e-320,
        math.inf,
        math.nan,
        "text",
        [],
        {},
        torch.ones(2),
        {"a": [1, [2.5, None], {"b": torch.arange(3)}], "c": {}},
        {0: {"step": torch.tensor(3.0)}, 1: {"step": torch.tensor(4.0)}, "10": "a string of digits"},
        {"tensor": 1, "items": [2], "list": {"tensor": "a"}},
        [torch.zeros(0), torch.zeros(0)],
    ],
)
def test_trees_come_back(tree: Any) -> None:
    assert equal(tree, through_json(tree))


def test_two_places_never_share_a_name() -> None:
    with pytest.raises(AssertionError):
        pack({0: torch.ones(1), "0": torch.zeros(1)}, {})


def trained(kind: Callable[..., torch.optim.Optimizer], **options: Any) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = kind(module.parameters(), **options)
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(module(torch.randn(8, 3)).square().mean())
        optimizer.step()
    return module, optimizer


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.Adam, {"lr": 1e-2, "betas": (0.5, 0.9), "amsgrad": True}),
        (torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 0.1}),
        (torch.optim.SGD, {"lr": 1e-2, "momentum": 0.9, "nesterov": True}),
    ],
)
def test_training_goes_on_bit_by_bit(
    tmp_path: Path, kind: type[torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    module, optimizer = trained(kind, **options)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, {"module": module.state_dict(), "optimizer": optimizer.state_dict()})
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other_optimizer = kind(other.parameters(), **{**options, "lr": 123.0})
    state = checkpoints.newest(Kept())
    assert state is not None
    assert equal(optimizer.state_dict(), state["optimizer"])
    other.load_state_dict(state["module"])
    other_optimizer.load_state_dict(state["optimizer"])
    for each, its in ((module, optimizer), (other, other_optimizer)):
        its.zero_grad()
        torch.autograd.backward(each(torch.ones(2, 3)).sum())
        its.step()
    assert equal(module.state_dict(), other.state_dict())
    assert equal(optimizer.state_dict(), other_optimizer.state_dict())


def saved(folder: Path, *updates: int, keep: int = 9) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep=keep)
    for update in updates:
        checkpoints.save(update, {"update": update, "w": torch.full((50,), float(update))})
    return checkpoints


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files(*updates: int) -> list[str]:
    return [f"update-{update:08d}.{suffix}" for update in updates for suffix in ("json", "safetensors")]


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").newest(Kept()) is None
    assert Checkpoints(tmp_path).newest(Kept()) is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(tmp_path: Path, keep: int) -> None:
    saved(tmp_path, 10, 20, 30, 40, keep=keep)
    assert names(tmp_path) == files(*(10, 20, 30, 40)[-keep:])


def test_updates_count_as_numbers(tmp_path: Path) -> None:
    events = Kept()
    state = saved(tmp_path, 99_999_999, 100_000_000, keep=1).newest(events)
    assert state is not None
    assert state["update"] == 100_000_000
    assert events.warned == []


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def record(text: str) -> Callable[[Path], object]:
    return lambda tensors: tensors.with_suffix(".json").write_text(text)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda tensors: os.truncate(tensors, tensors.stat().st_size - 1),
    "flipped": flip,
    "emptied": lambda tensors: os.truncate(tensors, 0),
    "no tensors": lambda tensors: tensors.unlink(),
    "no record": lambda tensors: tensors.with_suffix(".json").unlink(),
    "record emptied": record(""),
    "record cut": record('{"update": 30, "sha'),
    "record of another": record('{"update": 30, "sha256": "00"}'),
    "record without hash": record("{}"),
    "record is a list": record("[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_is_passed_over_with_a_warning(tmp_path: Path, damage: str) -> None:
    checkpoints = saved(tmp_path, 10, 20, 30)
    DAMAGE[damage](tmp_path / "update-00000030.safetensors")
    events = Kept()
    state = checkpoints.newest(events)
    assert state is not None
    assert state["update"] == 20
    assert torch.equal(state["w"], torch.full((50,), 20.0))
    assert len(events.warned) == 1
    assert str(tmp_path / "update-00000030") in events.warned[0]


def test_several_damaged_ones_leave_the_last_good(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 10, 20, 30)
    flip(tmp_path / "update-00000030.safetensors")
    flip(tmp_path / "update-00000020.safetensors")
    events = Kept()
    state = checkpoints.newest(events)
    assert state is not None
    assert state["update"] == 10
    assert len(events.warned) == 2
    flip(tmp_path / "update-00000010.safetensors")
    assert checkpoints.newest(events) is None


def test_damaged_later_ones_never_push_out_whole_ones(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 10, 20, 30, keep=9)
    for update in (20, 30):
        flip(tmp_path / f"update-{update:08d}.safetensors")
    checkpoints.keep = 2
    checkpoints.save(15, {"update": 15, "w": torch.ones(1)})
    assert names(tmp_path) == files(10, 15)
    state = checkpoints.newest(Kept())
    assert state is not None
    assert state["update"] == 15


def test_strays_of_a_crash_are_removed_and_other_files_are_not(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 10)
    (tmp_path / f"update-00000020.safetensors{TEMPORARY_SUFFIX}").touch()
    (tmp_path / "notes.txt").touch()
    events = Kept()
    assert checkpoints.newest(events) is not None
    assert names(tmp_path) == sorted([*files(10), "notes.txt"])
    assert events.warned == []


def test_what_cannot_be_deleted_does_not_stop_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = saved(tmp_path, 10, keep=1)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        checkpoints.save(20, {"update": 20})
    assert names(tmp_path) == files(10, 20)
    state = checkpoints.newest(Kept())
    assert state is not None
    assert state["update"] == 20


SAVE_FOREVER = """
import itertools, sys, torch
from pathlib import Path
from copgen.training.checkpoints import Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]))
for update in itertools.count(1):
    checkpoints.save(update, {"update": update, "w": torch.full((100_000,), float(update))})
    print(update, flush=True)
"""


def test_a_kill_at_any_time_loses_no_finished_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SAVE_FOREVER, str(tmp_path)]
    for kill_after in (3, 7):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        reached = 0
        while reached < kill_after:
            reached = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split()
        process.stdout.close()
        process.wait()
        last = int(rest[-1]) if rest else reached
        state = Checkpoints(tmp_path).newest(Kept())
        assert state is not None
        assert state["update"] >= last
        assert torch.equal(state["w"], torch.full((100_000,), float(state["update"])))
        assert not list(tmp_path.glob(f"*{TEMPORARY_SUFFIX}"))
        for path in tmp_path.iterdir():
            path.unlink()
