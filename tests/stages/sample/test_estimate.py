"""What a run will take: foreseen without torch where that can be, from a few of its pairs where not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from copgen import pairs
from copgen.generators.portrait import Portrait
from copgen.latents import Prior
from copgen.latents.navigator import new_navigator, save_navigator
from copgen.latents.walks import Walk, save_walk
from copgen.runtime.errors import UsageError
from copgen.stages.sample import estimate as sample_estimate
from copgen.stages.sample import plan as sample_plan
from copgen.stages.sample.estimate import Costs, estimate, seconds_each
from copgen.stages.sample.plan import foresee
from copgen.stages.sample.preflight import Rehearsal
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import open_source, sample
from tests.pairs import folders
from tests.stages.small import files

CHOICES: list[dict[str, Any]] = [
    {"transform": "none", "image_format": "webp"},
    {"transform": "gaussian", "positives": 3, "std": 0.1},
    {"transform": "gaussian-truncated", "seed": 3, "rounding": "truncate256"},
    {"transform": "random", "image_format": "jpg", "quality": 80},
    {"transform": "steering", "rotation_gain": 2.0},
    {"transform": "optimal", "batch": 7, "pairs_per_shard": 9},
]


@pytest.fixture
def portrait() -> Portrait:
    found = Portrait.load("digits")
    assert found is not None
    return found


@pytest.fixture
def made(tmp_path: Path, portrait: Portrait) -> Any:
    """Settings of `digits` as it is, with a navigator and a walk of it."""
    made_by = {"generator": "digits", "weights_sha256": portrait.of.weights_sha256}
    save_navigator(tmp_path / "navigator.safetensors", new_navigator(64, prior=Prior(), seed=0), made_by=made_by)
    save_walk(tmp_path / "walk.safetensors", Walk("edits", 64, channels=1), made_by=made_by)

    def settings(**changes: Any) -> SampleSettings:
        fields = {
            "generator": "digits",
            "n": 20,
            "device": "cpu",
            "navigator": tmp_path / "navigator.safetensors",
            "walk": tmp_path / "walk.safetensors",
        }
        return SampleSettings.model_validate({**fields, **changes})

    return settings


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: str(choice["transform"]))
def test_the_plan_that_is_foreseen_is_the_one_that_is_made(
    made: Any, portrait: Portrait, tmp_path: Path, choice: dict[str, Any]
) -> None:
    settings = made(**choice)
    foreseen = foresee(settings, portrait)
    assert foreseen is not None
    assert foreseen.difference(open_source(settings)[1]) == []
    sample(settings, out=tmp_path / "pairs")
    written = json.loads((tmp_path / "pairs" / "plan.json").read_text())
    assert written == {**foreseen.model_dump(mode="json"), "threads": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "cuda"},
        {"precision": "float64"},
        {"inverse": "reference"},
        {"conditions": "balanced"},
        {"max_d": 0.3},
        {"transform": "optimal", "positives": 2},
    ],
    ids=str,
)
def test_what_torch_alone_can_tell_is_not_foreseen(made: Any, portrait: Portrait, changes: dict[str, Any]) -> None:
    assert foresee(made(**{"transform": "gaussian", **changes}), portrait) is None


def test_auto_is_foreseen_where_no_gpu_can_be(made: Any, portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = made(transform="gaussian", device="auto")
    for may, foreseen in ((True, False), (False, True)):
        monkeypatch.setattr(sample_plan, "may_have_gpu", lambda may=may: may)
        assert (foresee(settings, portrait) is not None) is foreseen


def test_a_navigator_of_another_generator_is_refused_as_the_run_would(made: Any, tmp_path: Path) -> None:
    settings = made(transform="optimal")
    save_navigator(settings.navigator, new_navigator(9, prior=Prior(), seed=0), made_by={"generator": "bigbigan"})
    said = []
    for call in (lambda: estimate(settings), lambda: sample(settings, out=tmp_path / "pairs")):
        with pytest.raises(UsageError, match="was trained on generator 'bigbigan'") as caught:
            call()
        said.append(caught.value.what)
    assert said[0] == said[1]


@pytest.mark.parametrize("format", ["png", "jpg", "webp"])
def test_the_foreseen_disk_is_what_the_pairs_take(made: Any, tmp_path: Path, format: str) -> None:
    settings = made(n=600, transform="gaussian", image_format=format, positives=2)
    found = estimate(settings)
    assert "images that come with copgen" in found.rests_on
    sample(settings, out=tmp_path / "pairs")
    assert found.disk_bytes == pytest.approx(sum(map(len, files(tmp_path / "pairs").values())), rel=0.05)


def test_a_batch_that_was_not_measured_is_rehearsed(made: Any) -> None:
    found = estimate(made(transform="gaussian", batch=10))
    assert found.rests_on == "20 pairs of the run, made and encoded here"


def test_a_foreseen_run_needs_no_torch(made: Any) -> None:
    for transform in ("gaussian", "optimal", "steering"):
        settings = made(transform=transform, n=10**9)
        words = ["sample", "--dry-run", "--n", "1B", "--device", "cpu", "--tz", transform, "--json"]
        words += ["--navigator", str(settings.navigator), "--walk", str(settings.walk)]
        heavy = ("torch", "torchvision", "sklearn", "scipy")
        look = (
            f"import sys; from copgen_cli.main import main; code = main({words!r});"
            f"sys.exit(code or str([name for name in {heavy} if name in sys.modules]))"
        )
        done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=120)
        assert done.stderr.splitlines()[-1] == "[]"
        assert json.loads(done.stdout)["estimate"]["disk_bytes"] > 10**12


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
    costs = Costs(making_s=0.5, encoding_s=2.0)
    assert seconds_each(plan, costs, encoders=encoders, workers=workers) == pytest.approx(seconds)


def encoded(plan: pairs.Plan, count: int) -> list[pairs.EncodedPair]:
    return [pairs.encode_pair(plan, folders.pair(plan, index)) for index in range(count)]


def test_workers_count_as_far_as_there_are_cores(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(3)))
    monkeypatch.setattr(sample_estimate, "encode_portrait", lambda portrait, plan: (encoded(plan, 4), 1e-3))
    one, three, eight = (estimate(made(transform="gaussian"), workers=count) for count in (1, 3, 8))
    assert (one.workers, three.workers, eight.workers) == (1, 3, 3)
    assert one.seconds == pytest.approx(3 * three.seconds) == pytest.approx(3 * eight.seconds)
    # The same where the pairs are made here.
    source = open_source(made(transform="gaussian", batch=10))
    found = Rehearsal(encoded(source[1], 2), making_s=0.5, encoding_s=2.0, memory_bytes=1)
    monkeypatch.setattr("copgen.stages.sample.preflight.rehearse", lambda source, plan: found)
    few = [estimate(made(transform="gaussian", batch=10, threads=2), workers=count) for count in (1, 8)]
    assert [rehearsed.workers for rehearsed in few] == [1, 1]
    assert few[0].seconds == 20 * 2.5
