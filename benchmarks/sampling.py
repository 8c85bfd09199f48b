"""`copgen sample`: speed relative to the authors' procedure, the writer alone, memory, planning, and the estimates.

    OMP_NUM_THREADS=2 python -m benchmarks.sampling --out benchmarks/results/sampling-cpu.md    # 9 minutes on two cores
    python -m benchmarks.sampling --parts writer memory
    python -m benchmarks.sampling --toy                     # seconds; tests the benchmark

Wall clock; what is compared is interleaved in one run. Both write the same images, up to one grey level, which is
checked first: the same weights, latents and rounding.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import torch

from benchmarks import sampling_parts, sampling_speed, sampling_writer, timing
from benchmarks.report import asked_and_measured, head, measuring, mib, options, progress, table, written
from copgen.pairs.codecs import ImageFormat

PARTS = ("bigbigan", "digits", "writer", "memory", "plan", "disk", "cuda")
# Pairs and batch: one to three seconds of a core; the batch of jpg is that of `copgen sample`.
SIZES: dict[ImageFormat, tuple[int, int]] = {"png": (300, 50), "jpg": (10_000, 500), "webp": (300, 50)}
GPU = {"bf16": "off", "bf16, compiled": "default"}
ASKED = {
    "bigbigan": ("bigbigan: pairs a second, of the authors'", "at least 1.2, aim 1.5"),
    "digits": ("digits: pairs a second, of the authors'", "at least 5"),
    "workers": ("digits: the same by two workers", "at least 5"),
    **{
        f"{format} {way}": (f"{format}: {what}", asked)
        for format in SIZES
        for way, what, asked in (
            (sampling_writer.ONE_THREAD, "the writer, of the bare encoder loop", "at least 0.9"),
            (sampling_writer.TWO_THREADS, "a second encoder, times the first, as threads", "at least 1.8"),
            (sampling_writer.TWO_PROCESSES, "a second encoder, times the first, as processes", "at least 1.8"),
        )
    },
    "memory": ("memory beside the model, GiB", "at most 1.5"),
    "plan": ("seconds to plan a billion pairs, beyond those of importing torch", "at most 0.5"),
    "disk": ("estimate of the disk, off by at most, %", "at most 10"),
    "time": ("estimate of the time, off by at most, %", "-"),
    **{
        f"{how} {key}": (f"GPU, {how}: {what}", asked)
        for how in GPU
        for key, what, asked in (
            ("share", "images a second, of G's alone", "aim 0.9"),
            ("minutes", "minutes for 1.3M pairs", "aim 10, H200"),
        )
    },
}
Measured = dict[str, float | None]


def report(args: argparse.Namespace) -> list[str]:
    """The whole benchmark as markdown; every part adds what was asked of it to `measured`."""
    toy, rounds = args.toy, 1 if args.toy else args.rounds
    measured: Measured = {}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in args.parts:
            if part == "bigbigan":
                lines += _speed(part, 2 if toy else args.pairs, 2 if toy else 8, folder, rounds, measured, toy=toy)
            elif part == "digits":
                lines += _speed(part, 30 if toy else 10_000, 500, folder, rounds, measured, toy=toy)
            elif part == "writer":
                lines += _writer(dict.fromkeys(SIZES, (20, 5)) if toy else SIZES, rounds, measured)
            elif part == "memory":
                lines += _memory(measured, toy=toy)
            elif part == "plan":
                lines += _planning(measured)
            elif part == "disk":
                lines += _estimates(folder, 200 if toy else 10_000, measured)
            elif torch.cuda.is_available():
                _gpu(folder, measured)
    how = f"{len(os.sched_getaffinity(0))} cores, torch with {torch.get_num_threads()} threads, wall clock"
    first = head("Sampling", timing.machine(timing.CPU, ["pillow"], how), toy=toy)
    first += ["The authors' procedure: benchmarks/sampling_authors.py.", ""]
    return [*first, *asked_and_measured(ASKED, measured), *lines]


def _speed(
    generator: str, count: int, batch: int, folder: Path, rounds: int, measured: Measured, *, toy: bool
) -> Iterable[str]:
    several = len(os.sched_getaffinity(0)) > 1
    many = sampling_speed.MANY if generator == "digits" and several and not toy else None
    settings = sampling_parts.settings_of(generator, folder, narrow=24 if toy else 1, n=count, batch=batch)
    theirs = batch if generator == "bigbigan" else 256
    found = sampling_speed.against_the_authors(settings, batch=theirs, rounds=rounds, many=many)
    base = median(found["authors"])
    measured[generator] = median(found["copgen"]) / base
    if many:
        measured["workers"] = median(found[sampling_speed.WORKERS]) / base
    return sampling_speed.table(generator, count, batch, theirs, found)


def _writer(sizes: dict[ImageFormat, tuple[int, int]], rounds: int, measured: Measured) -> Iterable[str]:
    rows: list[Sequence[object]] = []
    for format, (count, batch) in sizes.items():
        progress(f"writer: {format}")
        found = sampling_writer.rates(format, count, batch, rounds)
        rates = {way: median(samples) for way, samples in found.items()}
        of_the_bare = {way: rate / rates[sampling_writer.BARE] for way, rate in rates.items()}
        for way, samples in found.items():
            spread = sampling_speed.spread(samples, 0)
            rows.append((f"{format}, {count:,}, {batch}", way, spread, f"{of_the_bare[way]:.2f}"))
        one = sampling_writer.ONE_THREAD
        measured[f"{format} {one}"] = of_the_bare[one]
        for way in (sampling_writer.TWO_THREADS, sampling_writer.TWO_PROCESSES):
            measured[f"{format} {way}"] = rates[way] / rates[one] if way in rates else None
    yield from ("## The writer alone", "")
    yield "Pairs of given 128 x 128 colour images; two tars with fsync. Images per second. Encoding a JPEG is so fast"
    yield "that hashing, writing and the Python overhead per pair are a good part of the total."
    yield ""
    yield from table(("format, pairs, batch", "way", "images/s (lowest to highest)", "of the bare loop"), rows)


def _memory(measured: Measured, *, toy: bool) -> Iterable[str]:
    cases = [("pixels", 200), ("pixels", 400)] if toy else [("pixels", 1000), ("pixels", 4000), ("bigbigan", 16)]
    names = {
        "pixels": "images of 128 px given, batch 50",
        "bigbigan": "BigBiGAN, batch 8, its activations included",
    }
    peaks = []
    for case, count in cases:
        progress(f"memory: {case} {count}")
        peaks.append(timing.in_child(sampling_parts.memory_beside, case, count))
    highest = max((peak for peak in peaks if peak), default=None)
    measured["memory"] = highest / 2**30 if highest else None
    rows = [(f"{names[case]}: {count:,} pairs", mib(peak, 0)) for (case, count), peak in zip(cases, peaks, strict=True)]
    yield from ("## Memory", "")
    yield from ("Peak resident memory of a run beyond the loaded generator, each in a separate process.", "")
    yield from table(("run", "peak MiB"), rows)


def _planning(measured: Measured) -> Iterable[str]:
    found = sampling_parts.planning()
    (bare, _), (seconds, _) = found.values()
    measured["plan"] = seconds - bare
    rows = [(name, f"{taken:.2f}", mib(size, 0)) for name, (taken, size) in found.items()]
    yield from ("## Planning a billion pairs", "", *table(("program", "seconds, best of 3", "peak MiB"), rows))


def _estimates(folder: Path, count: int, measured: Measured) -> Iterable[str]:
    found = sampling_parts.disk(folder, count)
    measured["disk"] = 100 * max(abs(estimated / taken - 1) for estimated, taken in found.values())
    sizes = [(name, mib(estimated, 2), mib(taken, 2)) for name, (estimated, taken) in found.items()]
    yield from ("## The estimate of the disk", "", *table(("pairs", "estimated MiB", "taken MiB"), sizes))
    rests_on, estimated, taken = sampling_parts.time_taken(count)
    measured["time"] = 100 * abs(estimated / taken - 1)
    times = [(f"digits, {count:,} pairs", rests_on, f"{estimated:.2f}", f"{taken:.2f}")]
    yield from ("## The estimate of the time", "", *table(("run", "rests on", "estimated s", "taken s"), times))


def _gpu(folder: Path, measured: Measured) -> None:
    for how, compile in GPU.items():
        fast = {"precision": "bfloat16", "memory_format": "channels_last", "device": "cuda", "batch": 500}
        settings = sampling_parts.settings_of("bigbigan", folder, narrow=1, n=20_000, compile=compile, **fast)
        found = sampling_parts.against_the_bare_forward(settings, folder / f"gpu-{compile}")
        measured[f"{how} share"] = found["sample"] / found["bare"]
        measured[f"{how} minutes"] = 2.6e6 / found["sample"] / 60


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = options(__doc__, device=False)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=8, help="of BigBiGAN, in every round")
    given = parser.parse_args(arguments)
    with measuring(threads=None):
        return written(report(given), given.out)


if __name__ == "__main__":
    main()
