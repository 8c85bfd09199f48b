"""One update of `copgen navigate` against the authors': `python -m benchmarks.navigate [--device cpu|cuda] [--toy]`.

BigBiGAN with random weights, ResNet-18, SimCLR's T_x at 128 px. The steps are interleaved in one run; then each runs in
a separate process for its memory, and ours once more with timing of its parts. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from benchmarks import timing
from benchmarks.navigate_cuda import on_cuda
from benchmarks.navigate_parts import PARTS, timed_parts
from benchmarks.navigate_steps import AUTHORS, COMPILED, LAID_OUT, OURS, Plan, authors, build, ours, weights_file
from copgen.runtime import memory

WIDTH, TOY_WIDTH = 96, 4
PARTED = ("simultaneous", "alternating")


def times(plan: Plan, steps: Mapping[str, Callable[[int], object]]) -> dict[str, timing.Timing]:
    """Milliseconds of an update, with the steps interleaved."""
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for name, step in steps.items():
        _progress(f"warm-up: {name}")
        step(0)
    for index in range(plan.rounds):
        for name in list(steps)[:: -1 if index % 2 else 1]:
            _synchronise(plan.device)
            begin = _clock(plan.device)
            steps[name](index + 1)
            _synchronise(plan.device)
            samples[name].append(1e3 * (_clock(plan.device) - begin))
            _progress(f"round {index + 1}: {name} {samples[name][-1]:,.0f} ms")
    return {name: timing.Timing.of(values) for name, values in samples.items()}


def peak(plan: Plan, weights: Path, name: str) -> int:
    """Peak bytes of an update, including weights, gradients and moments; for a separate process."""
    if plan.device.type == "cuda":
        return memory.peak_of(lambda: build(plan, weights, name)(0), plan.device) or 0
    before = memory.resident()
    step = build(plan, weights, name)
    built = memory.resident() - before
    return built + (memory.peak_of(lambda: step(0), plan.device) or 0)


def peaks(plan: Plan) -> dict[str, int | None]:
    """The peaks of the steps, each in a separate process; None if compiled on the CPU, as the compiler would count."""
    found: dict[str, int | None] = {}
    for name in plan.methods:
        if name == COMPILED and plan.device.type == "cpu":
            continue
        _progress(f"memory: {name}")
        arguments = ["--memory", name, "--device", str(plan.device), "--batch", str(plan.batch)]
        said = timing.in_child("benchmarks.navigate", [*arguments, "--width", str(plan.width)])
        found[name] = int(said) if said else None
    return found


def report(plan: Plan) -> str:
    """The whole benchmark as markdown."""
    with tempfile.TemporaryDirectory() as folder:
        weights = weights_file(plan.config, Path(folder))
        games = {name: ours(plan, weights, name) for name in plan.methods if name != AUTHORS}
        steps = {name: step for name, (step, _) in games.items()}
        if AUTHORS in plan.methods:
            steps = {AUTHORS: authors(plan), **steps}
        measured = times(plan, steps)
        parts = {name: timed_parts(games[name][1], steps[name]) for name in games if name in PARTED}
        games, steps = {}, {}
        found = peaks(plan)
        cuda = on_cuda(plan, weights) if plan.device.type == "cuda" else {}
    lines = [
        "# One update of navigate, against the authors'",
        "",
        f"Measured on: {timing.machine(plan.device, ['torchvision'])}.",
        "The authors' step: benchmarks/navigate_authors.py.",
        "",
    ]
    if plan.toy:
        lines += ["A toy run to test the benchmark; its times are meaningless.", ""]
    lines += [
        f"BigBiGAN of width {plan.width} (published: {WIDTH}), random weights; ResNet-18, SimCLR's T_x, 128 px; "
        f"batch {plan.batch}, {plan.precision}. Milliseconds: median and 10th to 90th percentile of interleaved "
        "rounds. Memory: the peak of an update, including weights, gradients and moments; not for compiled steps on "
        "the CPU, as the compiler's memory would be counted.",
        "",
        "| step | ms | 10th to 90th | times as fast | peak MiB | of the authors' |",
        "|---|---|---|---|---|---|",
    ]
    base, base_peak = measured.get(AUTHORS), found.get(AUTHORS)
    for name, t in measured.items():
        own = found.get(name)
        share = f"{own / base_peak:.2f}" if own and base_peak else "-"
        ratio = f"{base.median / t.median:.2f}" if base else "-"
        mib = f"{own / 2**20:,.0f}" if own else "-"
        lines.append(f"| {name} | {t.median:,.0f} | {t.low:,.0f} to {t.high:,.0f} | {ratio} | {mib} | {share} |")
    lines += ["", "## Where the time goes", "", f"| step | {' | '.join(PARTS)} |", "|---" * (1 + len(PARTS)) + "|"]
    for name, shares in parts.items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * shares[part]:.1f} %" for part in PARTS) + " |")
    lines += ["", "## Targets", "", *targets(measured, found, parts, cuda)]
    return "\n".join(lines) + "\n"


def targets(
    measured: Mapping[str, timing.Timing],
    found: Mapping[str, int | None],
    parts: Mapping[str, Mapping[str, float]],
    cuda: Mapping[str, float],
) -> list[str]:
    """The targets and the measurements."""

    def ratio(name: str) -> float | None:
        return measured[AUTHORS].median / measured[name].median if {name, AUTHORS} <= measured.keys() else None

    best = max((r for name in measured if name != AUTHORS and (r := ratio(name))), default=None)
    ours_peak, theirs = found.get("simultaneous"), found.get(AUTHORS)
    share = ours_peak / theirs if ours_peak and theirs else None
    rest = max((p["rest"] for p in parts.values()), default=None)
    rows: list[tuple[str, str, float | None]] = [
        ("simultaneous, times the authors' speed", "at least 1.4", ratio("simultaneous")),
        ("alternating", "at least 1.3", ratio("alternating")),
        ("with memory layout", "-", ratio(LAID_OUT)),
        ("with memory layout and compilation", "aim 1.8", ratio(COMPILED)),
        ("the fastest", "aim 1.8", best),
        ("peak memory of an update, of the authors'", "at most 0.7", share),
        ("share of the time outside G, T_x, f and loss", "at most 0.03", rest),
        ("GPU, bf16, batch 176: samples a second", "-", cuda.get("rate 176")),
        ("GPU, bf16, batch 1,024: samples a second", "-", cuda.get("rate 1024")),
        ("GPU: times the authors' speed", "aim 15", cuda.get("ratio")),
        ("GPU: share of the matrix rate", "aim 0.35", cuda.get("share")),
        ("GPU: minutes for 200K samples", "-", cuda.get("minutes")),
    ]
    table = ["| what | asked | measured |", "|---|---|---|"]
    return table + [f"| {what} | {asked} | {'not measured' if x is None else f'{x:.3g}'} |" for what, asked, x in rows]


def _clock(device: torch.device) -> float:
    return time.perf_counter() if device.type == "cuda" else time.process_time()


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.navigate", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=int, default=WIDTH, help="channels of the last block")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=[AUTHORS, *OURS], choices=[AUTHORS, *OURS])
    parser.add_argument("--memory", metavar="STEP", help="only print the peak of this step, in bytes")
    parser.add_argument("--toy", action="store_true", help="a few seconds; tests the benchmark")
    parser.add_argument("--out", type=Path, help="a markdown file; printed by default")
    given = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    torch.set_num_threads(1)  # CPU time with one thread; several would include the time they wait for each other
    plan = Plan(torch.device(given.device), given.batch, given.width, given.rounds, given.methods, given.toy)
    if given.toy:
        plan = Plan(plan.device, 2, TOY_WIDTH, 1, [AUTHORS, "simultaneous", "alternating"], True)
    if given.memory:
        with tempfile.TemporaryDirectory() as folder:
            print(peak(plan, weights_file(plan.config, Path(folder)), given.memory))
        return
    text = report(plan)
    if given.out:
        given.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main(sys.argv[1:])
