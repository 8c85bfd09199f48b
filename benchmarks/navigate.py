"""One update of `copgen navigate` against the authors': `python -m benchmarks.navigate [--device cpu|cuda] [--toy]`.

BigBiGAN with random weights, ResNet-18, SimCLR's T_x at 128 px. The steps are interleaved in one run; then each runs in
a separate process for its memory, and ours once more with timing of its parts. See benchmarks/README.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch

from benchmarks import generators_weights, timing
from benchmarks.navigate_cuda import on_cuda
from benchmarks.navigate_parts import PARTS, timed_parts
from benchmarks.navigate_steps import AUTHORS, COMPILED, LAID_OUT, OURS, Plan, authors, ours, peak_in_child
from benchmarks.report import asked_and_measured, divided, head, measuring, mib, options, progress, table, written

WIDTH, TOY_NARROW = 96, 24  # channels of the last block, as published; and by what a toy divides them
PARTED = ("simultaneous", "alternating")
ASKED = {
    "simultaneous": ("simultaneous, times the authors' speed", "at least 1.4"),
    "alternating": ("alternating", "at least 1.3"),
    LAID_OUT: ("with memory layout", "-"),
    COMPILED: ("with memory layout and compilation", "aim 1.8"),
    "best": ("the fastest", "aim 1.8"),
    "memory": ("peak memory of an update, of the authors'", "at most 0.7"),
    "rest": ("share of the time outside G, T_x, f and loss", "at most 0.03"),
    "rate 176": ("GPU, bf16, batch 176: samples a second", "-"),
    "rate 1024": ("GPU, bf16, batch 1,024: samples a second", "-"),
    "ratio": ("GPU: times the authors' speed", "aim 15"),
    "share": ("GPU: share of the matrix rate", "aim 0.35"),
    "minutes": ("GPU: minutes for 200K samples", "-"),
}


def times(plan: Plan, steps: Mapping[str, Callable[[int], object]]) -> dict[str, timing.Timing]:
    """Milliseconds of an update, with the steps interleaved."""
    cuda = plan.device.type == "cuda"
    samples: dict[str, list[float]] = {name: [] for name in steps}

    def now() -> float:
        if cuda:
            torch.cuda.synchronize(plan.device)
        return time.perf_counter() if cuda else time.process_time()

    for name, step in steps.items():
        progress(f"warm-up: {name}")
        step(0)
    for index, name in timing.turns(steps, plan.rounds):
        begin = now()
        steps[name](index + 1)
        samples[name].append(1e3 * (now() - begin))
        progress(f"round {index + 1}: {name} {samples[name][-1]:,.0f} ms")
    return {name: timing.Timing.of(values) for name, values in samples.items()}


def peaks(plan: Plan, weights: Path) -> dict[str, int | None]:
    """The peaks of the steps, each in a separate process; None if compiled on the CPU, as the compiler would count."""
    found: dict[str, int | None] = {}
    for name in plan.methods:
        if name != COMPILED or plan.device.type != "cpu":
            progress(f"memory: {name}")
            found[name] = timing.in_child(peak_in_child, str(weights), name, str(plan.device), plan.batch)
    return found


def report(plan: Plan, *, toy: bool) -> Iterable[str]:
    """The whole benchmark as markdown."""
    with tempfile.TemporaryDirectory() as folder:
        weights = generators_weights.write("bigbigan", Path(folder), narrow=plan.narrow)
        games = {name: ours(plan, weights, name) for name in plan.methods if name != AUTHORS}
        steps = {AUTHORS: authors(plan, weights)} if AUTHORS in plan.methods else {}
        steps |= {name: step for name, (step, _) in games.items()}
        measured = times(plan, steps)
        parts = {name: timed_parts(games[name][1], steps[name]) for name in games if name in PARTED}
        games, steps = {}, {}
        memory = peaks(plan, weights)
        found: dict[str, float | None] = {}
        found |= on_cuda(plan, weights) if plan.device.type == "cuda" else {}
    yield from head(
        "One update of navigate, against the authors'", timing.machine(plan.device, ["torchvision"]), toy=toy
    )
    yield (
        f"BigBiGAN of width {WIDTH // plan.narrow} (published: {WIDTH}), random weights; ResNet-18, SimCLR's T_x, "
        f"128 px; batch {plan.batch}, {plan.precision}. The authors' step: benchmarks/navigate_authors.py. "
        "Milliseconds: median and 10th to 90th percentile of interleaved rounds. Memory: the peak of an update, "
        "including weights, gradients and moments; not for compiled steps on the CPU, as the compiler's memory would "
        "be counted."
    )
    yield ""
    rows: list[Sequence[object]] = []
    for name, t in measured.items():
        ratio = measured[AUTHORS].median / t.median if AUTHORS in measured else None
        share = divided(memory.get(name), memory.get(AUTHORS))
        found[name] = ratio
        took = (f"{t.median:,.0f}", f"{t.low:,.0f} to {t.high:,.0f}", ratio and f"{ratio:.2f}")
        rows.append((name, *took, mib(memory.get(name), 0), share and f"{share:.2f}"))
    yield from table(("step", "ms", "10th to 90th", "times as fast", "peak MiB", "of the authors'"), rows)
    shares = [(name, *(f"{100 * share[part]:.1f} %" for part in PARTS)) for name, share in parts.items()]
    yield from ("## Where the time goes", "", *table(("step", *PARTS), shares))
    found["best"] = max((ratio for name in OURS if (ratio := found.get(name))), default=None)
    found["memory"] = divided(memory.get("simultaneous"), memory.get(AUTHORS))
    found["rest"] = max((share["rest"] for share in parts.values()), default=None)
    yield from ("## Targets", "", *asked_and_measured(ASKED, found))


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--narrow", type=int, default=1, help="divides the widths of the generator")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=[AUTHORS, *OURS], choices=[AUTHORS, *OURS])
    given = parser.parse_args(arguments)
    plan = Plan(given.device, given.batch, given.rounds, given.methods, given.narrow)
    if given.toy:
        plan = Plan(given.device, 2, 1, [AUTHORS, *PARTED], TOY_NARROW)
    with measuring(threads=1):  # CPU time with one thread; several would include the time they wait for each other
        return written(report(plan, toy=given.toy), given.out)


if __name__ == "__main__":
    main()
