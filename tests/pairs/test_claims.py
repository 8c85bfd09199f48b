"""Claims: one worker per shard, whichever worker dies, is suspended or gives up."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from copgen.pairs.claims import Claims
from copgen.pairs.store import LocalStore, Store
from copgen.storage.processes import identity

HOLD = """
import sys
from pathlib import Path
from copgen.pairs.claims import Claims
from copgen.pairs.store import LocalStore
with Claims(LocalStore(Path(sys.argv[1])), beat_s=0.02) as claims:
    print(claims.take([0]), flush=True)
    sys.stdin.read()
"""
ELSEWHERE = {"machine": "another", "process": 1, "started": 1, "beat": 0}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def names(store: Store) -> set[str]:
    return set(store.sizes("claims"))


def put(store: Store, name: str, **changes: Any) -> None:
    """A claim of a worker on another machine."""
    store.write(f"claims/{name}", json.dumps({**ELSEWHERE, **changes}).encode())


def as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process claim like a process of another machine from now on."""
    other = {**identity(), "machine": "another"}
    for module in ("pairs.claims", "storage.processes"):  # what it writes, and what it compares
        monkeypatch.setattr(f"copgen.{module}.identity", lambda: other)


def test_each_shard_is_claimed_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with Claims(store) as one:
        assert one.take([3, 4]) == 3
        assert one.take([3, 4]) == 4
        assert one.take([3, 4]) is None
        as_other(monkeypatch)
        with Claims(store) as other:
            assert other.take([3, 4]) is None
            assert other.take([5, 3]) == 5
        one.release(3)
        assert names(store) == {"shard-000004.json"}
    assert names(store) == set()


def test_a_claim_of_another_process_holds_until_it_dies(store: LocalStore) -> None:
    command = [sys.executable, "-c", HOLD, str(store.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        with Claims(store, lease_s=0.5) as claims:
            until = time.monotonic() + 1.0  # twice the lease: it is its heart that keeps it
            while time.monotonic() < until:
                assert claims.take([0]) is None
                time.sleep(0.05)
            process.kill()
            process.wait()
        with Claims(store, lease_s=1e6) as claims:
            assert claims.take([0]) == 0
            assert names(store) == {"shard-000000.json", "shard-000000.1.json"}
        assert names(store) == set()


def test_one_of_another_machine_is_dead_when_it_does_not_change_for_a_lease(store: LocalStore) -> None:
    put(store, "shard-000000.json")
    with Claims(store, lease_s=0.1) as claims:
        for beat in range(4):
            put(store, "shard-000000.json", beat=beat)
            assert claims.take([0]) is None
            time.sleep(0.06)
        time.sleep(0.1)
        assert claims.take([0]) == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"machine": 3}', b"\xff"])
def test_one_that_nobody_can_read_is_left_to_its_lease(store: LocalStore, content: bytes) -> None:
    store.write("claims/shard-000000.json", content)
    with Claims(store, lease_s=0.1) as claims:
        assert claims.take([0]) is None
        time.sleep(0.15)
        assert claims.take([0]) == 0


@pytest.mark.parametrize("started", [None, 1])
def test_a_number_that_is_another_process_now_is_dead(store: LocalStore, started: int | None) -> None:
    parent = {**identity(), "process": 1, "started": started}
    store.write("claims/shard-000000.json", json.dumps(parent).encode())
    with Claims(store) as claims:
        assert claims.take([0]) == 0


def test_one_that_this_process_left_behind_is_dead(store: LocalStore) -> None:
    store.write("claims/shard-000000.json", json.dumps(identity()).encode())
    with Claims(store) as claims:
        assert claims.take([0]) == 0


def test_of_two_that_see_a_death_one_takes_over(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "shard-000000.json")
    with Claims(store, lease_s=0.0) as one, Claims(store, lease_s=0.0) as other:
        assert one.take([0]) is None
        assert other.take([0]) is None  # both have seen it now
        time.sleep(0.01)
        newest = other._newest()
        assert one.take([0]) == 0
        monkeypatch.setattr(other, "_newest", lambda: newest)  # it looked before the other took it
        assert other.take([0]) is None
        monkeypatch.undo()
        assert one.is_held(0)


def test_one_that_was_only_asleep_leaves_the_claim_to_its_successor(store: LocalStore) -> None:
    with Claims(store) as asleep:
        assert asleep.take([0]) == 0
        put(store, "shard-000000.1.json")
        assert not asleep.is_held(0)
        asleep.forget(0)
    assert names(store) == {"shard-000000.json", "shard-000000.1.json"}


def test_other_files_are_no_claims(store: LocalStore) -> None:
    for name in ("notes.txt", "shard-000000.json.ab.partial", "shard-1.json"):
        (store.folder / "claims").mkdir(exist_ok=True)
        (store.folder / "claims" / name).touch()
    with Claims(store) as claims:
        assert claims.take([0, 1]) == 0


def test_a_disk_that_fills_up_does_not_stop_the_heart(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[str] = []

    def full(self: LocalStore, name: str, data: bytes) -> None:
        from copgen.runtime.errors import EnvironmentFault

        beats.append(name)
        raise EnvironmentFault("The disk is full.")

    monkeypatch.setattr(LocalStore, "write", full)
    with Claims(store, beat_s=0.01) as claims:
        assert claims.take([0]) == 0
        until = time.monotonic() + 5
        while len(beats) < 3 and time.monotonic() < until:
            time.sleep(0.01)
    assert beats[:3] == ["claims/shard-000000.json"] * 3
