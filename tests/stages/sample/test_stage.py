"""The stage sample: the pairs folder it writes, from the same latents the same bytes, whatever happens in between."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from copgen import generators, pairs
from copgen.latents import displacement, load_navigator
from copgen.pairs.pixels import to_uint8
from copgen.runtime import philox
from copgen.runtime.errors import ExitCode, Stopped
from copgen.runtime.events import Events
from copgen.stages.sample import stage
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from tests.stages.small import At, Recorder, Stage, files, interrupted, killed, send

TRANSFORMS = ("none", "gaussian", "optimal")


def as_stage(made: SampleSettings) -> Stage:
    def run(out: Path, events: Events) -> dict[str, Any]:
        return sample(made, out=out, events=events)

    return run


def moved(transform: str, z: Tensor, rows: range, seed: int, navigator: Path) -> Tensor:
    """z' by the definition of each transform."""
    if transform == "none":
        return z
    if transform == "gaussian":
        return z + 0.3 * philox.normal(seed, rows, 64, stream="latents/gaussian").float()
    with torch.no_grad():
        positive: Tensor = load_navigator(navigator)(z)
    return positive


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_pair_is_what_seed_and_index_say(
    flow: Path, navigator: Path, tmp_path: Path, settings: Callable[..., SampleSettings], transform: str
) -> None:
    out = tmp_path / "pairs"
    summary = sample(settings(transform=transform, seed=7), out=out)
    assert pairs.verify(out, "full") == []
    read = list(pairs.read(out))
    tars = sum(path.stat().st_size for path in (out / "shards").glob("*.tar"))
    assert summary == {"pairs": 250, "shards": 3, "bytes": tars}
    assert [pair.index for pair in read] == list(range(250))

    G = generators.load("digits", weights=flow)
    for shard in (range(110), range(110, 220), range(220, 250)):
        for start in range(shard.start, shard.stop, 64):
            rows = range(start, min(start + 64, shard.stop))
            z = G.sample_prior(rows, 7)
            z_pos = moved(transform, z, rows, 7, navigator)
            d = (z_pos - z).square().mean(1).sqrt()
            anchors, positives = to_uint8(G(z)), to_uint8(G(z_pos))
            for place, row in enumerate(rows):
                assert torch.equal(read[row].anchor, anchors[place])
                assert torch.equal(read[row].positive, positives[place])
                assert read[row].metadata["d"] == pytest.approx(float(d[place]), abs=2e-6)
    same = [torch.equal(pair.anchor, pair.positive) for pair in read]
    assert all(same) if transform == "none" else sum(same) < 5
    distance = np.mean([pair.metadata["d"] for pair in read])
    assert distance == pytest.approx({"none": 0.0, "gaussian": 0.3, "optimal": 0.24}[transform], abs=0.03)


def test_anchors_do_not_depend_on_the_transform(tmp_path: Path, settings: Callable[..., SampleSettings]) -> None:
    for transform in TRANSFORMS:
        sample(settings(transform=transform, n=20), out=tmp_path / transform)
    folders = [list(pairs.read(tmp_path / transform)) for transform in TRANSFORMS]
    for several in zip(*folders, strict=True):
        assert all(torch.equal(several[0].anchor, pair.anchor) for pair in several)


def test_the_plan_tells_the_truth(
    flow: Path, navigator: Path, tmp_path: Path, settings: Callable[..., SampleSettings]
) -> None:
    sample(settings(transform="optimal", n=10, seed=3), out=tmp_path)
    plan = pairs.Plan.load(tmp_path)
    assert (plan.seed, plan.pairs, plan.batch, plan.pairs_per_shard) == (3, 10, 64, 110)
    assert (plan.image_shape, plan.rounding, plan.device) == ((1, 8, 8), "nearest", "cpu")
    assert plan.generator.sha256 == generators.load("digits", weights=flow).weights_sha256
    assert plan.prior.name == "normal"
    assert plan.transform.name == "optimal"
    by_file = SampleSettings.model_validate(
        {**settings().model_dump(), "navigator": navigator / "navigator.safetensors"}
    )
    sample(by_file.model_copy(update={"n": 10, "seed": 3}), out=tmp_path)  # the same plan, so it goes on


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_two_runs_give_equal_bytes(tmp_path: Path, settings: Callable[..., SampleSettings], transform: str) -> None:
    for name in "ab":
        torch.manual_seed(ord(name))
        sample(settings(transform=transform), out=tmp_path / name)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    sample(settings(transform=transform, seed=1), out=tmp_path / "c")
    assert files(tmp_path / "a")["shards/shard-000000.tar"] != files(tmp_path / "c")["shards/shard-000000.tar"]


@pytest.mark.parametrize("at", [(100,), (200,), (100, 200), (110,)])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path: Path, settings: Callable[..., SampleSettings], at: tuple[int, ...]
) -> None:
    sample(settings(), out=tmp_path / "straight")
    interrupted(as_stage(settings()), tmp_path / "run", at)
    assert files(tmp_path / "run") == files(tmp_path / "straight")


@pytest.mark.parametrize("at", [100, 200, 220])
def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, settings: Callable[..., SampleSettings], at: int
) -> None:
    sample(settings(), out=tmp_path / "straight")
    killed(as_stage(settings()), tmp_path / "run", at)
    assert files(tmp_path / "run") == files(tmp_path / "straight")


def test_a_signal_keeps_finished_shards_and_nothing_else(
    tmp_path: Path, settings: Callable[..., SampleSettings]
) -> None:
    with pytest.raises(Stopped) as caught:
        sample(settings(), out=tmp_path, events=At(200, lambda: send(signal.SIGINT)))
    assert caught.value.code == ExitCode.INTERRUPTED
    assert sorted(files(tmp_path)) == [
        "places.json",
        "plan.json",
        "records/shard-000000.json",
        "shards/shard-000000.idx",
        "shards/shard-000000.tar",
    ]
    events = Recorder()
    sample(settings(), out=tmp_path, events=events)
    assert events.tasks == [("sample", 250, "pairs", 110)]
    assert events.advances == [200, 220, 250]
    assert "110 of 250 pairs" in events.sentences[0]


def test_a_finished_folder_is_not_made_again(
    tmp_path: Path, settings: Callable[..., SampleSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sample(settings(), out=tmp_path)
    before = files(tmp_path)
    monkeypatch.setattr(stage, "make_batches", None)
    assert sample(settings(), out=tmp_path) == first
    assert files(tmp_path) == before


def test_a_shard_that_was_lost_is_made_again(tmp_path: Path, settings: Callable[..., SampleSettings]) -> None:
    sample(settings(), out=tmp_path)
    before = files(tmp_path)
    (tmp_path / "shards" / "shard-000001.tar").unlink()
    sample(settings(), out=tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("format", "quality", "members"), [("jpg", None, "jpg"), ("jpg", 60, "jpg"), ("webp", None, "webp")]
)
def test_other_image_formats_are_written_and_read(
    tmp_path: Path, settings: Callable[..., SampleSettings], format: str, quality: int | None, members: str
) -> None:
    sample(settings(n=40), out=tmp_path / "png")
    sample(settings(n=40, image_format=format, quality=quality, encoders=2), out=tmp_path / format)
    assert pairs.verify(tmp_path / format, "full") == []
    plan = pairs.Plan.load(tmp_path / format)
    assert plan.quality == (quality or {"jpg": 95, "webp": 90}[format])
    assert plan.components == (f"anchor.{members}", f"positive.{members}", "json")
    card = (tmp_path / format / "README.md").read_text()
    assert f"{'JPEG' if format == 'jpg' else 'WebP'} of quality {plan.quality}" in card
    exact, lossy = (list(pairs.read(tmp_path / name)) for name in ("png", format))
    for one, other in zip(exact, lossy, strict=True):
        assert one.metadata == other.metadata
        assert (
            float((one.anchor.float() - other.anchor.float()).abs().mean()) < 20
        )  # noise, which neither format is made for
    anchors, positives = pairs.open_pairs(tmp_path / format).batch([3, 0])
    assert torch.equal(anchors[0], lossy[3].anchor)
    assert torch.equal(positives[1], lossy[0].positive)


@pytest.mark.parametrize("encoders", [0, 2])
def test_threads_do_not_change_the_bytes(
    tmp_path: Path, settings: Callable[..., SampleSettings], encoders: int
) -> None:
    sample(settings(), out=tmp_path / "straight")
    sample(settings(encoders=encoders), out=tmp_path / "threads")
    assert files(tmp_path / "threads") == files(tmp_path / "straight")


@pytest.mark.parametrize("at", [100, 200])
def test_a_run_with_threads_stops_in_good_order_too(
    tmp_path: Path, settings: Callable[..., SampleSettings], at: int
) -> None:
    sample(settings(), out=tmp_path / "straight")
    interrupted(as_stage(settings(encoders=2)), tmp_path / "run", (at,))
    assert files(tmp_path / "run") == files(tmp_path / "straight")


def test_the_distance_in_the_metadata_is_the_one_of_the_constraint(
    flow: Path, tmp_path: Path, settings: Callable[..., SampleSettings]
) -> None:
    sample(settings(n=30), out=tmp_path)
    G = generators.load("digits", weights=flow)
    z = G.sample_prior(range(30), 0)
    with torch.no_grad():
        d = displacement(z, load_navigator(settings().navigator)(z))
    assert [pair.metadata["d"] for pair in pairs.read(tmp_path)] == pytest.approx(d.tolist(), abs=1e-6)


def test_sampling_does_not_import_what_only_encoders_need(tmp_path: Path) -> None:
    """torchvision and the compiler that it imports take as long as torch itself."""
    program = (
        "import sys; from copgen_cli.main import main;"
        f"code = main(['sample', '-g', 'digits', '--transform', 'gaussian', '--n', '4', '--out', {str(tmp_path)!r}]);"
        "assert code == 0; assert 'torchvision' not in sys.modules; assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize(("cores", "threads", "advised"), [(4, 64, 4), (64, 8, 8), (1, 64, None), (64, 1, None)])
def test_one_process_on_several_cores_is_told_how_many_workers_they_are_for(
    settings: Callable[..., SampleSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    threads: int,
    advised: int | None,
) -> None:
    monkeypatch.setattr(stage, "cores", lambda: cores)  # those of a container, which torch does not know
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    recorder = Recorder()
    sample(settings(transform="gaussian", n=4, pairs_per_shard=2, threads=1), out=tmp_path, events=recorder)
    told = [sentence for sentence in recorder.sentences if "--workers" in sentence]
    assert [f"--workers {advised} " in sentence for sentence in told] == ([] if advised is None else [True])
