"""The estimated cost of a run, and the error for a disk that is too small, before anything is written."""

from __future__ import annotations

import math
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from copgen import pairs
from copgen.latents import Prior
from copgen.latents.navigator import new_navigator, save_navigator
from copgen.runtime.errors import EnvironmentFault, ExitCode, UsageError
from copgen.stages.sample import estimate as estimates
from copgen.stages.sample import rehearsal
from copgen.stages.sample.estimate import estimate, seconds_each
from copgen.stages.sample.rehearsal import Rehearsal, rehearse
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import open_source, sample
from tests.pairs import folders
from tests.stages.small import files

Usage = namedtuple("Usage", "total used free")
FORMATS: list[dict[str, Any]] = [{"image_format": "png"}, {"image_format": "jpg"}, {"image_format": "webp"}]


def made(flow: Path, **changes: Any) -> SampleSettings:
    fields = {
        "generator": "digits",
        "weights": flow,
        "transform": "gaussian",
        "n": 300,
        "batch": 64,
        "pairs_per_shard": 100,
        "device": "cpu",
    }
    return SampleSettings.model_validate({**fields, **changes})


def free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the disk have that many free bytes."""
    monkeypatch.setattr("shutil.disk_usage", lambda place: Usage(10**15, 10**15 - count, count))


def taken(folder: Path) -> int:
    return sum(map(len, files(folder).values()))


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: str(format["image_format"]))
def test_the_estimated_disk_is_what_the_pairs_take(
    flow: Path, tmp_path: Path, temporary: Path, format: dict[str, Any]
) -> None:
    settings = made(flow, n=1500, batch=200, pairs_per_shard=400, positives=2, **format)
    found = estimate(settings)
    assert list(temporary.iterdir()) == []
    sample(settings, out=tmp_path / "pairs")
    assert found.disk_bytes == pytest.approx(taken(tmp_path / "pairs"), rel=0.1)
    assert 0 < found.seconds < math.inf
    assert 2**20 < found.memory_bytes < 2**40


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_small_batches_are_judged_by_several(flow: Path, tmp_path: Path, batch: int) -> None:
    settings = made(flow, n=200, batch=batch, pairs_per_shard=100, image_format="jpg")
    source, plan = open_source(settings)
    assert len(rehearse(source, plan).pairs) >= rehearsal.FEW
    sample(settings, out=tmp_path)
    assert estimate(settings).disk_bytes == pytest.approx(taken(tmp_path), rel=0.1)


def test_a_rehearsal_is_of_no_more_pairs_than_there_are(flow: Path) -> None:
    source, plan = open_source(made(flow, n=5, batch=2, pairs_per_shard=3))
    assert [pair.index for pair in rehearse(source, plan).pairs] == [0, 1, 2, 3, 4]


def test_the_plan_of_a_billion_pairs_is_made_from_a_few(flow: Path) -> None:
    small, large = estimate(made(flow, n=10**6)), estimate(made(flow, n=10**9))
    # One has shards of a hundred, whose padding and records are the same for both.
    assert large.disk_bytes / small.disk_bytes == pytest.approx(1000, rel=0.01)


def test_a_disk_that_is_too_small_is_refused_before_the_first_shard(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample(made(flow), out=tmp_path / "straight")
    out = tmp_path / "pairs"
    free(monkeypatch, int(0.8 * taken(tmp_path / "straight")))
    with pytest.raises(
        EnvironmentFault, match=r"too small: these pairs need about \d+ KiB more, and \d+ KiB are free"
    ) as caught:
        sample(made(flow), out=out)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert files(out) == {}
    free(monkeypatch, int(1.2 * taken(tmp_path / "straight")))
    sample(made(flow), out=out)
    assert files(out) == files(tmp_path / "straight")


def test_what_is_there_already_needs_no_room(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(made(flow), out=tmp_path)
    before = files(tmp_path)
    (tmp_path / "shards" / "shard-000001.tar").unlink()
    monkeypatch.setattr(estimates, "rehearse", None)  # the records say how large pairs are
    free(monkeypatch, taken(tmp_path) // 3)
    with pytest.raises(EnvironmentFault, match="too small"):
        sample(made(flow), out=tmp_path)
    free(monkeypatch, taken(tmp_path))
    sample(made(flow), out=tmp_path)
    assert files(tmp_path) == before
    free(monkeypatch, 0)
    sample(made(flow), out=tmp_path)


def test_what_is_overwritten_counts_as_free(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(made(flow, seed=1), out=tmp_path)
    free(monkeypatch, taken(tmp_path) // 10)
    with pytest.raises(EnvironmentFault, match="too small"):
        sample(made(flow, n=400), out=tmp_path, overwrite=True)
    assert pairs.verify(tmp_path, "full") == []
    sample(made(flow), out=tmp_path, overwrite=True)
    assert pairs.verify(tmp_path, "full") == []


def test_a_large_disk_needs_no_rehearsal(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "rehearse", None)
    free(monkeypatch, 10**12)
    sample(made(flow), out=tmp_path)


def test_another_plan_is_refused_before_the_disk(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(made(flow), out=tmp_path)
    free(monkeypatch, 0)
    with pytest.raises(UsageError, match="another plan: seed is 0, not 1"):
        sample(made(flow, seed=1), out=tmp_path)


def test_a_navigator_of_another_generator_is_refused_as_the_run_would(flow: Path, tmp_path: Path) -> None:
    settings = made(flow, transform="optimal", navigator=tmp_path / "navigator.safetensors")
    save_navigator(settings.navigator, new_navigator(9, prior=Prior(), seed=0), made_by={"generator": "bigbigan"})
    said = []
    for call in (lambda: estimate(settings), lambda: sample(settings, out=tmp_path / "pairs")):
        with pytest.raises(UsageError, match="was trained on generator 'bigbigan'") as caught:
            call()
        said.append(caught.value.what)
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("format", "encoders", "workers", "seconds"),
    [
        # 8x8 images are encoded between the batches of each worker.
        ((8, "png"), None, 1, 2.5),
        ((8, "png"), None, 4, 2.5 / 4),
        # As many threads as cores; making and encoding go on at the same time.
        ((128, "png"), None, 1, 0.5),
        ((128, "png"), None, 8, 2.5 / 16),
        ((128, "png"), 1, 1, 2.0),
        ((128, "png"), 2, 1, 1.0),
        ((128, "png"), 2, 4, 0.25),
        ((128, "jpg"), 4, 1, 0.5),
    ],
)
def test_time_is_that_of_what_there_is_least_of(
    monkeypatch: pytest.MonkeyPatch, format: tuple[int, str], encoders: int | None, workers: int, seconds: float
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(16)))
    side, name = format
    plan = folders.plan(image_format=name, image_shape=(3, side, side), quality=None if name == "png" else 90)
    assert plan.device == "cpu"
    found = Rehearsal([], making_s=0.5, encoding_s=2.0, memory_bytes=1)
    assert seconds_each(plan, found, encoders=encoders, workers=workers) == pytest.approx(seconds)


def test_workers_count_as_far_as_there_are_cores(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(3)))
    plan = open_source(made(flow))[1]
    encoded = [pairs.encode_pair(plan, folders.pair(plan, index)) for index in range(2)]
    found = Rehearsal(encoded, making_s=0.5, encoding_s=2.0, memory_bytes=1)
    monkeypatch.setattr(estimates, "rehearse", lambda source, plan: found)
    one, three, eight = (estimate(made(flow), workers=count) for count in (1, 3, 8))
    assert (one.workers, three.workers, eight.workers) == (1, 3, 3)
    assert one.seconds == 300 * 2.5
    assert one.seconds == pytest.approx(3 * three.seconds) == pytest.approx(3 * eight.seconds)
    few = [estimate(made(flow, threads=2), workers=count) for count in (1, 8)]
    assert [rehearsed.workers for rehearsed in few] == [1, 1]
