"""Measurements of `benchmarks.sampling` other than speed: memory, planning, the estimates; and G alone."""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import generators_weights, sampling_writer, timing
from copgen import pairs
from copgen.latents import Prior
from copgen.latents.navigator import new_navigator, save_navigator
from copgen.pairs.pipeline import Batches, overlapped
from copgen.pairs.sizing import expected_bytes
from copgen.runtime import memory
from copgen.stages.sample import stage
from copgen.stages.sample.batches import make_batches
from copgen.stages.sample.settings import SampleSettings
from copgen.training.estimate import folder_bytes


def settings_of(name: str, folder: Path, *, narrow: int, **changes: object) -> SampleSettings:
    """Settings of the generator with random (bigbigan) or its own (digits) weights, and a new navigator."""
    weights = folder / "bigbigan.safetensors"
    if name == "bigbigan" and not weights.exists():
        generators_weights.write(name, folder, narrow=narrow)
    navigator = folder / f"{name}-navigator.safetensors"
    dim = 120 if name == "bigbigan" else 64
    save_navigator(navigator, new_navigator(dim, prior=Prior(), seed=0), made_by={"generator": name})
    fields = {
        "generator": name,
        "weights": weights if name == "bigbigan" else None,
        "navigator": navigator,
        "rounding": "truncate256",
        "device": "cpu",
        "threads": torch.get_num_threads(),  # as for the other side of the comparison
        **changes,
    }
    return SampleSettings.model_validate(fields)


def write(out: Path, plan: pairs.Plan, make: Callable[[int], Batches]) -> None:
    """Write all shards of a plan, as one worker."""
    with overlapped(plan, range(plan.shards), make) as shards:
        for number, encoded in shards:
            pairs.write_shard(out, plan, number, encoded)


def memory_beside(what: str, count: int) -> int:
    """Peak bytes of resident memory that writing `count` pairs adds; for a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        if what == "bigbigan":
            settings = settings_of("bigbigan", Path(folder), narrow=1, n=count, batch=8)
            source, plan = stage.open_source(settings)
            make: Callable[[int], Batches] = functools.partial(make_batches, source, plan)
        else:
            plan, pool = sampling_writer.plan("png", count, 1000), sampling_writer.images()
            make = functools.partial(sampling_writer.batches, plan, pool=pool, fresh=True)

        return memory.peak_of(lambda: write(Path(folder) / "pairs", plan, make), timing.CPU) or 0


def planning() -> dict[str, tuple[float, int]]:
    """(seconds, peak bytes) of planning a billion pairs, and of an empty program that imports torch; best of three."""
    plan = ["-m", "copgen_cli", "sample", "--dry-run", "--n", "1B", "--transform", "gaussian", "-q"]
    programs = {"import torch": ["-c", "import torch"], "copgen sample --dry-run --n 1B": plan}
    found: dict[str, tuple[float, int]] = {}
    for _ in range(3):
        for name, arguments in programs.items():
            taken = timing.launched(arguments)
            found[name] = min(taken, found.get(name, taken))
    return found


def disk(folder: Path, count: int) -> dict[str, tuple[int, int]]:
    """(estimated, actual) bytes of pairs of digits, and of 128-pixel images estimated from sixteen pairs."""
    settings = settings_of("digits", folder, narrow=1, n=count)
    estimated = round(stage.estimate(settings).disk_bytes)
    stage.sample(settings, out=folder / "disk")
    found = {f"digits, {count:,} pairs": (estimated, folder_bytes(folder / "disk"))}
    shutil.rmtree(folder / "disk")
    pool = sampling_writer.images()
    for format in ("png", "jpg", "webp"):
        plan = sampling_writer.plan(format, 4 * sampling_writer.POOL // 2, 100)
        first = [pairs.encode_pair(plan, pair) for pair in next(sampling_writer.batches(plan, 0, pool))[:16]]
        plan.save(folder / "disk")
        sampling_writer.write(
            folder / "disk", plan, sampling_writer.given(plan, range(plan.shards), pool), encoders=None
        )
        pairs.finish(folder / "disk", plan)
        found[f"128 px, {format}, {plan.pairs} pairs"] = (expected_bytes(plan, first), folder_bytes(folder / "disk"))
        shutil.rmtree(folder / "disk")
    return found


def time_taken(count: int) -> tuple[str, float, float]:
    """(basis of the estimate, estimated seconds, actual seconds) of pairs of digits."""
    settings = SampleSettings(generator="digits", transform="gaussian", n=count, device="cpu")
    said = stage.estimate(settings)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        stage.sample(settings, out=Path(folder) / "pairs")
        return said.rests_on, said.seconds, time.perf_counter() - begin


@torch.no_grad()
def against_the_bare_forward(settings: SampleSettings, out: Path) -> dict[str, float]:
    """Images per second of G alone, and of a run from its first batch to its manifest, on the device of the settings.

    Loading and compiling are excluded, as a run of 1.3 million pairs does them once.
    """
    source, plan = stage.open_source(settings)
    device = torch.device(settings.device)
    z = source.G.sample_prior(range(plan.batch), 0)
    condition = source.G.sample_condition(range(plan.batch), 0)

    def forward(count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            source.images(z, condition)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return count * plan.batch / (time.perf_counter() - begin)

    forward(2)
    bare = forward(-(-2 * settings.n // plan.batch))
    begin = time.perf_counter()
    plan.save(out)
    write(out, plan, functools.partial(make_batches, source, plan))
    pairs.finish(out, plan)
    return {"bare": bare, "sample": 2 * settings.n / (time.perf_counter() - begin)}
