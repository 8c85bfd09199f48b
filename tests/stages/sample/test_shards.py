"""Several workers on one pairs folder: which shards they claim, and where they write."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import pairs
from copgen.distributed.slices import ShardSlice
from copgen.pairs import layout
from copgen.pairs.claims import Claims
from copgen.pairs.pipeline import Batches
from copgen.pairs.store import LocalStore, open_store
from copgen.runtime.errors import DataError, EnvironmentFault, Stopped, UsageError
from copgen.stages.sample import batches as drawing
from copgen.stages.sample.pair_source import Source
from copgen.stages.sample.plan_settings import settings_of_folder
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from tests.pairs import stores
from tests.stages.small import At, Recorder, files, send

ELSEWHERE = json.dumps({"machine": "another", "process": 1, "started": 1}).encode()
Make = Callable[..., SampleSettings]
ENCODERS = pytest.mark.parametrize("encoders", [0, 2], ids=["one after the other", "overlapped"])


@pytest.fixture
def settings(flow: Path) -> Make:
    def make(**changes: Any) -> SampleSettings:
        fields = {
            "generator": "digits",
            "weights": flow,
            "transform": "gaussian",
            "std": 0.3,
            "n": 250,
            "batch": 64,
            "pairs_per_shard": 30,
            "device": "cpu",
        }
        return SampleSettings.model_validate({**fields, **changes})

    return make


def made_by(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The shards that this process makes from now on."""
    made: list[int] = []
    real = drawing.make_batches

    def traced(source: Source, plan: pairs.Plan, number: int) -> Batches:
        made.append(number)
        return real(source, plan, number)

    monkeypatch.setattr("copgen.stages.sample.stage.make_batches", traced)
    return made


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new place in an object store."""
    if request.param == "memory":
        yield stores.new_place("memory", tmp_path, "")
        return
    with stores.s3_server(monkeypatch) as bucket:
        yield stores.new_place("s3", tmp_path, bucket)


def test_an_object_store_holds_what_a_folder_would(
    tmp_path: Path, settings: Make, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    with pytest.raises(Stopped):
        sample(settings(), out=place, events=At(100, lambda: send(signal.SIGTERM)))
    assert [name for name in stores.content(place) if name.startswith("records")] == [
        f"records/shard-00000{number}.json" for number in range(3)
    ]
    made = made_by(monkeypatch)
    summary = sample(settings(), out=place)
    assert made == list(range(3, 9))
    assert summary == sample(settings(), out=tmp_path / "straight")
    assert stores.content(place) == files(tmp_path / "straight")


def test_a_slice_is_where_a_worker_begins(tmp_path: Path, settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_by(monkeypatch)
    sample(settings(), out=tmp_path / "a", part=ShardSlice(1, 3))
    assert made == [1, 4, 7, 8, 6, 5, 3, 2, 0]
    made.clear()
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "4")
    sample(settings(), out=tmp_path / "b")
    assert made == [4, 5, 6, 7, 8, 0, 1, 2, 3]
    assert files(tmp_path / "a") == files(tmp_path / "b")


@ENCODERS
def test_what_others_have_claimed_is_left_to_them_and_taken_over_when_they_die(
    tmp_path: Path, settings: Make, monkeypatch: pytest.MonkeyPatch, encoders: int
) -> None:
    sample(settings(), out=tmp_path / "straight")
    store = LocalStore(tmp_path / "run")
    pairs.Plan.load(tmp_path / "straight").save(store)
    for number in (0, 4):
        store.write(layout.claim_name(number), ELSEWHERE)
    monkeypatch.setattr("copgen.stages.sample.shards.Claims", lambda store, lease_s: Claims(store, lease_s=0.3))
    made = made_by(monkeypatch)
    sample(settings(encoders=encoders), out=tmp_path / "run")
    assert made[0] == 1
    assert sorted(made) == list(range(9))
    assert files(tmp_path / "run") == files(tmp_path / "straight")


@ENCODERS
def test_a_worker_that_slept_leaves_the_shard_to_the_one_that_took_it_over(
    tmp_path: Path, settings: Make, encoders: int
) -> None:
    made = settings(pairs_per_shard=120, encoders=encoders)
    sample(made, out=tmp_path / "straight")
    store = LocalStore(tmp_path / "run")

    def succeed() -> None:
        """What a successor does, that makes shard 1 while this worker is in the middle of it."""
        store.write(layout.claim_name(1, 1), ELSEWHERE)
        with store.shard_folder(1):
            for name in (layout.tar_name(1), layout.index_name(1), layout.record_name(1)):
                store.write(name, (tmp_path / "straight" / name).read_bytes())

    slept = At(200, succeed)
    sample(made, out=tmp_path / "run", events=slept)
    assert slept.acted
    assert files(tmp_path / "run") == files(tmp_path / "straight")


@ENCODERS
def test_a_failure_does_not_wait_for_the_others(
    tmp_path: Path, settings: Make, monkeypatch: pytest.MonkeyPatch, encoders: int
) -> None:
    """Shard 0 is with another worker that lives; this one fails at its last shard, when it waits for that."""
    store = LocalStore(tmp_path)
    sample(settings(n=60), out=tmp_path)
    layout.record_path(tmp_path, 1).unlink()
    layout.record_path(tmp_path, 0).unlink()
    store.write(layout.claim_name(0), ELSEWHERE)

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("copgen.pairs.tar.TarWriter.close", full)
    start = time.monotonic()
    with pytest.raises(EnvironmentFault, match="disk is full"):
        sample(settings(n=60, encoders=encoders), out=tmp_path)
    assert time.monotonic() - start < 30  # half a lease
    assert set(store.sizes(layout.CLAIMS)) == {"shard-000000.json"}


@ENCODERS
def test_a_signal_ends_the_waiting_for_others(tmp_path: Path, settings: Make, encoders: int) -> None:
    sample(settings(n=60), out=tmp_path)
    layout.record_path(tmp_path, 0).unlink()
    LocalStore(tmp_path).write(layout.claim_name(0), ELSEWHERE)

    class Impatient(Recorder):
        def say(self, text: str) -> None:
            super().say(text)
            if "waiting" in text:
                send(signal.SIGTERM)

    events = Impatient()
    with pytest.raises(Stopped):
        sample(settings(n=60, encoders=encoders), out=tmp_path, events=events)
    assert "other workers" in events.sentences[-1]


def test_a_record_that_is_not_sound_is_made_again_by_one(tmp_path: Path, settings: Make) -> None:
    sample(settings(), out=tmp_path)
    before = files(tmp_path)
    layout.record_path(tmp_path, 2).write_bytes(b"{}")
    layout.tar_path(tmp_path, 3).write_bytes(b"cut")
    sample(settings(), out=tmp_path)
    assert files(tmp_path) == before


def test_only_some_shards_are_regenerated(tmp_path: Path, settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(settings(), out=tmp_path)
    before = files(tmp_path)
    tar = layout.tar_path(tmp_path, 3)
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)
    assert len(pairs.verify(tmp_path, "full")) == 1
    made, events = made_by(monkeypatch), Recorder()
    sample(settings(), out=tmp_path, only=[3, 8], events=events)
    assert made == [3, 8]
    assert events.tasks == [("sample", 40, "pairs", 0)]
    assert events.warnings == []
    assert files(tmp_path) == before


def test_a_shard_that_is_not_what_it_was_is_told(
    tmp_path: Path, settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample(settings(), out=tmp_path)
    real = drawing.make_batches

    def other(source: Source, plan: pairs.Plan, number: int) -> Iterator[list[pairs.Pair]]:
        for batch in real(source, plan, number):
            yield [pairs.Pair(pair.index, pair.positive, (pair.anchor,), pair.metadata) for pair in batch]

    monkeypatch.setattr("copgen.stages.sample.stage.make_batches", other)
    events = Recorder()
    assert sample(settings(), out=tmp_path, only=[3], events=events)["changed"] == [3]
    assert events.warnings[0].startswith("Shard 3 ")
    assert pairs.verify(tmp_path, "full") == []


def test_only_of_an_unfinished_folder_writes_no_manifest(tmp_path: Path, settings: Make) -> None:
    with pytest.raises(Stopped):
        sample(settings(), out=tmp_path, events=At(100, lambda: send(signal.SIGTERM)))
    summary = sample(settings(), out=tmp_path, only=[5])
    assert (summary["shards"], summary["pairs"]) == (4, 120)
    assert not (tmp_path / layout.MANIFEST).exists()
    sample(settings(), out=tmp_path)
    assert pairs.verify(tmp_path, "full") == []


def test_a_plan_gives_its_settings_back(tmp_path: Path, settings: Make, flow: Path) -> None:
    several: list[dict[str, Any]] = [{}, {"positives": 2, "seed": 5, "precision": "float64"}, {"transform": "none"}]
    for number, changes in enumerate(several):
        made = settings(n=40, **changes)
        out = tmp_path / str(number)
        sample(made, out=out)
        again = SampleSettings.model_validate({**settings_of_folder(open_store(out)), "weights": flow})
        assert again.model_copy(update={"inverse": None, "std": made.std, "threads": None}) == made


def test_the_number_of_threads_is_the_plans_and_not_the_machines(
    tmp_path: Path, settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = drawing.make_batches

    def watched(source: Source, plan: pairs.Plan, number: int) -> Batches:
        seen.append(torch.get_num_threads())
        return real(source, plan, number)

    monkeypatch.setattr("copgen.stages.sample.stage.make_batches", watched)
    for machine, asked, found in ((4, None, 1), (4, 3, 3), (1, 3, 3)):
        torch.set_num_threads(machine)
        try:
            out = tmp_path / f"{machine}-{asked}"
            sample(settings(n=20, threads=asked), out=out)
            assert torch.get_num_threads() == machine
            assert pairs.Plan.load(out).threads == found
            sample(settings(n=20), out=out, only=[0])  # as the plan says, that is there
        finally:
            torch.set_num_threads(1)
        assert seen == [found, found]
        seen.clear()
    with pytest.raises(UsageError, match="threads is 3, not 2"):
        sample(settings(n=20, threads=2), out=tmp_path / "4-3")


def test_only_needs_the_plan_of_the_folder(tmp_path: Path, settings: Make) -> None:
    with pytest.raises(DataError, match=r"plan\.json is missing.*--only"):
        sample(settings(), out=tmp_path / "none", only=[0])
    sample(settings(n=40), out=tmp_path / "pairs")
    with pytest.raises(UsageError, match=r"shard 2 in .* 0 to 1\."):
        sample(settings(n=40), out=tmp_path / "pairs", only=[2])
    with pytest.raises(UsageError, match="seed is 0, not 1") as caught:
        sample(settings(n=40, seed=1), out=tmp_path / "pairs", only=[0])
    assert "--overwrite" not in caught.value.fix


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"workers": 0}, "--workers 0"),
        ({"only": [0], "overwrite": True}, "--only and --overwrite"),
        ({"only": [0], "workers": 2}, "--only.*Leave out --workers"),
        ({"overwrite": True, "part": ShardSlice(1, 2)}, r"slice 1/2"),
        ({"overwrite": True, "part": ShardSlice(1, None)}, r"slice 1/\?"),
        ({"workers": 2, "out": "memory://pairs"}, "memory://pairs.*Leave out --workers"),
    ],
    ids=str,
)
def test_conflicting_options_are_refused(tmp_path: Path, settings: Make, choices: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        sample(settings(), **{"out": tmp_path / "pairs", **choices})
    assert not (tmp_path / "pairs").exists()


def test_overwriting_needs_the_folder_alone(tmp_path: Path, settings: Make) -> None:
    sample(settings(n=40), out=tmp_path)
    before = files(tmp_path)
    with (
        open_store(tmp_path).writers(overwrite=False),
        pytest.raises(EnvironmentFault, match=f"in use by another copgen \\(process {os.getpid()}\\)"),
    ):
        sample(settings(n=40, seed=1), out=tmp_path, overwrite=True)
    assert files(tmp_path) == before
