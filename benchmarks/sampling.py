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
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import get_args

import torch

from benchmarks import sampling_parts, sampling_speed, sampling_writer, timing
from copgen.pairs.codecs import ImageFormat

PARTS = ("bigbigan", "digits", "writer", "memory", "plan", "disk", "cuda")
Row = tuple[str, str, float | None]


def report(args: argparse.Namespace) -> str:
    """The whole benchmark as markdown."""
    toy, parts = args.toy, args.parts
    lines: list[str] = []
    targets: list[Row] = []
    rounds = 1 if toy else args.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        narrow = 24 if toy else 1
        for generator, count, batch, asked in (
            ("bigbigan", 2 if toy else args.pairs, 2 if toy else 8, "at least 1.2, aim 1.5"),
            ("digits", 30 if toy else 10_000, 500, "at least 5"),
        ):
            several = len(os.sched_getaffinity(0)) > 1
            many = sampling_speed.MANY if generator == "digits" and several and not toy else None
            ratio = by_workers = None
            if generator in parts:
                settings = sampling_parts.settings_of(generator, folder, narrow=narrow, n=count, batch=batch)
                theirs = batch if generator == "bigbigan" else 256
                found = sampling_speed.against_the_authors(settings, batch=theirs, rounds=rounds, many=many)
                ratio = median(found["copgen"]) / median(found["authors"])
                by_workers = median(found[sampling_speed.WORKERS]) / median(found["authors"]) if many else None
                lines += sampling_speed.table(generator, count, batch, theirs, found)
            targets.append((f"{generator}: pairs a second, of the authors'", asked, ratio))
            if generator == "digits":
                targets.append(("digits: the same by two workers", asked, by_workers))
        # One to three seconds of a core; the batch of jpg is that of `copgen sample`.
        sizes = {"png": (300, 50), "jpg": (10_000, 500), "webp": (300, 50)}
        lines += _writer(parts, dict.fromkeys(sizes, (20, 5)) if toy else sizes, rounds, targets)
        lines += _memory(parts, toy, targets)
        lines += _planning(parts, targets)
        lines += _disk(parts, folder, 200 if toy else 10_000, targets)
        lines += _time(parts, 200 if toy else 10_000, targets)
        _gpu(parts, folder, targets)
    head = [
        "# Sampling",
        "",
        f"Measured on: {timing.machine(torch.device('cpu'), ['pillow'], _how())}.",
        "The authors' procedure: benchmarks/sampling_authors.py.",
        "",
        *(["A toy run to test the benchmark; its numbers are meaningless.", ""] if toy else []),
        "| what | asked | measured |",
        "|---|---|---|",
        *(f"| {what} | {asked} | {'not measured' if x is None else f'{x:.3g}'} |" for what, asked, x in targets),
        "",
    ]
    return "\n".join([*head, *lines]).rstrip() + "\n"


def _how() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, torch with {torch.get_num_threads()} threads, wall clock"


def _writer(parts: Sequence[str], sizes: dict[str, tuple[int, int]], rounds: int, targets: list[Row]) -> list[str]:
    names = ("the writer, of the bare encoder loop", "a second encoder, times the first")
    if "writer" not in parts:
        targets += [(names[0], "at least 0.9", None), (names[1], "at least 1.8", None)]
        return []
    lines = [
        "## The writer alone",
        "",
        "Pairs of given 128 x 128 colour images; two tars with fsync. Images per second. Encoding a JPEG is so fast",
        "that hashing, writing and the Python overhead per pair are a good part of the total.",
        "",
        "| format, pairs, batch | way | images/s (lowest to highest) | of the bare loop |",
        "|---|---|---|---|",
    ]
    for format in get_args(ImageFormat):
        _progress(f"writer: {format}")
        count, batch = sizes[format]
        found = sampling_writer.rates(format, count, batch, rounds)
        bare = median(found[sampling_writer.BARE])
        for way, rates in found.items():
            spread = f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
            lines.append(f"| {format}, {count:,}, {batch} | {way} | {spread} | {median(rates) / bare:.2f} |")
        one = median(found[sampling_writer.ONE_THREAD])
        two, processes = (
            median(found[way]) if way in found else None
            for way in (sampling_writer.TWO_THREADS, sampling_writer.TWO_PROCESSES)
        )
        targets += [
            (f"{format}: {names[0]}", "at least 0.9", one / bare),
            (f"{format}: {names[1]}, as threads", "at least 1.8", two / one if two else None),
            (f"{format}: {names[1]}, as processes", "at least 1.8", processes / one if processes else None),
        ]
    return [*lines, ""]


def _memory(parts: Sequence[str], toy: bool, targets: list[Row]) -> list[str]:
    what = "memory beside the model, GiB"
    if "memory" not in parts:
        targets.append((what, "at most 1.5", None))
        return []
    cases = [("pixels", 200), ("pixels", 400)] if toy else [("pixels", 1000), ("pixels", 4000), ("bigbigan", 16)]
    lines = [
        "## Memory",
        "",
        "Peak resident memory of a run beyond the loaded generator, each in a separate process.",
        "",
        "| run | peak MiB |",
        "|---|---|",
    ]
    highest = 0
    for case, count in cases:
        _progress(f"memory: {case} {count}")
        said = timing.in_child("benchmarks.sampling", ["--memory", case, "--pairs", str(count)])
        found = int(said) if said else 0
        highest = max(highest, found)
        name = "images of 128 px given, batch 50" if case == "pixels" else "BigBiGAN, batch 8, its activations included"
        lines.append(f"| {name}: {count:,} pairs | {found / 2**20:,.0f} |")
    targets.append((what, "at most 1.5", highest / 2**30 if highest else None))
    return [*lines, ""]


def _planning(parts: Sequence[str], targets: list[Row]) -> list[str]:
    what = "seconds to plan a billion pairs, beyond those of importing torch"
    if "plan" not in parts:
        targets.append((what, "at most 0.5", None))
        return []
    found = sampling_parts.planning()
    (bare, _), (seconds, _) = found.values()
    targets.append((what, "at most 0.5", seconds - bare))
    lines = ["## Planning a billion pairs", "", "| program | seconds, best of 3 | peak MiB |", "|---|---|---|"]
    lines += [f"| {name} | {taken:.2f} | {size / 2**20:,.0f} |" for name, (taken, size) in found.items()]
    return [*lines, ""]


def _disk(parts: Sequence[str], folder: Path, count: int, targets: list[Row]) -> list[str]:
    what = "estimate of the disk, off by at most, %"
    if "disk" not in parts:
        targets.append((what, "at most 10", None))
        return []
    found = sampling_parts.disk(folder, count)
    worst = max(abs(estimated / taken - 1) for estimated, taken in found.values())
    targets.append((what, "at most 10", 100 * worst))
    lines = ["## The estimate of the disk", "", "| pairs | estimated MiB | taken MiB |", "|---|---|---|"]
    for name, (estimated, taken) in found.items():
        lines.append(f"| {name} | {estimated / 2**20:,.2f} | {taken / 2**20:,.2f} |")
    return [*lines, ""]


def _time(parts: Sequence[str], count: int, targets: list[Row]) -> list[str]:
    what = "estimate of the time, off by at most, %"
    if "disk" not in parts:
        targets.append((what, "-", None))
        return []
    rests_on, estimated, taken = sampling_parts.time_taken(count)
    targets.append((what, "-", 100 * abs(estimated / taken - 1)))
    lines = ["## The estimate of the time", "", "| run | rests on | estimated s | taken s |", "|---|---|---|---|"]
    return [*lines, f"| digits, {count:,} pairs | {rests_on} | {estimated:.2f} | {taken:.2f} |", ""]


def _gpu(parts: Sequence[str], folder: Path, targets: list[Row]) -> None:
    for compile, how in (("off", "bf16"), ("default", "bf16, compiled")):
        share = minutes = None
        if "cuda" in parts and torch.cuda.is_available():
            fast = {"precision": "bfloat16", "memory_format": "channels_last", "device": "cuda", "batch": 500}
            settings = sampling_parts.settings_of("bigbigan", folder, narrow=1, n=20_000, compile=compile, **fast)
            found = sampling_parts.against_the_bare_forward(settings, folder / f"gpu-{compile}")
            share, minutes = found["sample"] / found["bare"], 2.6e6 / found["sample"] / 60
        targets += [
            (f"GPU, {how}: images a second, of G's alone", "aim 0.9", share),
            (f"GPU, {how}: minutes for 1.3M pairs", "aim 10, H200", minutes),
        ]


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description=__doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=8, help="of BigBiGAN, in every round")
    parser.add_argument("--memory", choices=("pixels", "bigbigan"), help="only print the peak of this run, in bytes")
    parser.add_argument("--toy", action="store_true", help="a few seconds; tests the benchmark")
    parser.add_argument("--out", type=Path, help="a markdown file; printed by default")
    given = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    if given.memory:
        print(sampling_parts.memory_beside(given.memory, given.pairs))
        return
    text = report(given)
    if given.out:
        given.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main(sys.argv[1:])
