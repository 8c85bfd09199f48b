"""Images per second and peak memory of each generator, compared with spectral norm recomputed at every call.

python -m benchmarks.generators --out benchmarks/results/generators-cpu.md      # about 45 minutes on one core
python -m benchmarks.generators --toy                                           # seconds: tests the benchmark

Weights are random, widths as published. CPU: one thread, process CPU time. Median and 10th to 90th percentile of
interleaved rounds; batches above 16 take half a minute each, so they have a single one, and no reference. The options
move these limits: a few minutes on a laptop, more on a GPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import generators_weights as weights
from benchmarks import timing
from benchmarks.report import head, measuring, mib, options, table, written
from benchmarks.timing import Call, Timing
from copgen.runtime import memory

REFERENCE = "reference: sigma at every call"


@dataclass(frozen=True)
class Row:
    """One way to run a generator at one batch size."""

    batch: int
    way: str
    timing: Timing | None = None
    memory: int | None = None
    note: str = ""

    def cells(self, reference: float | None) -> Sequence[object]:
        """A row of the table."""
        if self.timing is None:
            return self.batch, self.way, None, None, None, None, self.note
        speed = 1e3 * self.batch / self.timing.median
        spread = f"{self.timing.low:.0f}-{self.timing.high:.0f}" if self.timing.rounds > 1 else "one round"
        ratio = f"{reference / self.timing.median:.2f}" if reference else None
        took = f"{self.timing.median:.0f} ({spread})"
        return self.batch, self.way, f"{speed:.2f}", took, ratio, mib(self.memory, 0), self.note


def once(call: Call, device: torch.device) -> tuple[Timing, int | None]:
    """A single round, with its memory."""
    if device.type == "cuda":
        return timing.interleaved({"": call}, device, rounds=(1, 1), seconds=0)[""], memory.peak_of(call, device)
    spent: list[float] = []

    def timed() -> None:
        begin = time.process_time()
        call()
        spent.append((time.process_time() - begin) * 1e3)

    peak = memory.peak_of(timed, device)
    return Timing.of(spent), peak


def ways(name: str, path: Path, batch: int, args: argparse.Namespace) -> dict[str, Callable[[], Call]]:
    """The ways to run it, each as a factory, so that only one is in memory at a time at large batches."""

    def ours(*, compile_it: bool = False, **options: Any) -> Callable[[], Call]:
        def make() -> Call:
            G = weights.load(name, path, device=args.device, **options)
            z, condition = weights.inputs(G, batch)
            forward: Any = torch.compile(G.forward) if compile_it else G
            if compile_it:
                forward(z, condition)  # compile before a single timed round
            return lambda: forward(z, condition)

        return make

    def reference() -> Call:
        return weights.reference_call(name, path, weights.load(name, path, device=args.device), batch)

    found: dict[str, Callable[[], Call]] = {"float32": ours()}
    if batch <= args.reference_batch:
        found[REFERENCE] = reference
    if name != "residual-flow-mnist":
        low: dict[str, Any] = {"precision": "bfloat16", "memory_format": "channels_last"}
        found["bfloat16, channels last"] = ours(**low)
        found["float32, compiled"] = ours(compile_it=True)
        found["bfloat16, channels last, compiled"] = ours(compile_it=True, **low)
    return found


@torch.no_grad()
def measure(name: str, path: Path, batch: int, args: argparse.Namespace) -> list[Row]:
    """All ways at one batch size."""
    builds = ways(name, path, batch, args)
    rows: list[Row] = []
    if batch > args.interleaved_batch:
        for way, make in builds.items():
            try:
                rows.append(Row(batch, way, *once(make(), args.device)))
            except Exception as error:  # the row gives the reason
                rows.append(Row(batch, way, note=timing.trouble(error)))
        return rows
    calls, troubles = timing.warmed_up(builds, 1)
    peaks = {way: memory.peak_of(call, args.device) for way, call in calls.items()}
    rounds = (3, 15) if batch == 1 else (2, 3)
    timings = timing.interleaved(calls, args.device, rounds=rounds, seconds=args.seconds)
    refused = [Row(batch, way, note=trouble) for way, trouble in troubles.items()]
    return [Row(batch, way, timings[way], peaks[way]) for way in calls] + refused


def section(name: str, rows: list[Row]) -> list[str]:
    """A generator's section."""
    columns = ("batch", "way", "images/s", "ms per batch (p10-p90)", "reference / this", "extra peak MiB", "note")
    references = {row.batch: row.timing.median for row in rows if row.way == REFERENCE and row.timing is not None}
    return [f"## {name}", "", *table(columns, [row.cells(references.get(row.batch)) for row in rows])]


def report(args: argparse.Namespace) -> Iterable[str]:
    """The whole benchmark as markdown; sections without a head for an existing report."""
    if args.out is not None and args.out.exists():
        yield from (args.out.read_text().rstrip("\n"), "")
    else:
        yield from head("Generators: forward passes", timing.machine(args.device), toy=args.toy)
        yield (
            "Random weights at the published widths. Extra peak memory: above the network's own, of one call. The flow "
            "has random weights too, with which its fixed points take fewer rounds than trained ones are expected to; "
            "it runs in float32 alone, as bfloat16 is too coarse for fixed points, and uncompiled, as its items decide "
            f"how long it iterates.{args.note}"
        )
        yield ""
    with tempfile.TemporaryDirectory(prefix="copgen-generators-") as folder:
        for name in args.generator or weights.NAMES:
            path = weights.write(name, Path(folder), narrow=8 if args.toy else 1)
            batches = args.batch or ([1, 2] if args.toy else [1, 16, 64])
            yield from section(name, [row for batch in batches for row in measure(name, path, batch, args)])
            path.unlink()


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = options(__doc__)
    parser.set_defaults(device=timing.CPU)
    parser.add_argument("--generator", action="append", choices=weights.NAMES, help="one or more; all by default")
    parser.add_argument("--batch", action="append", type=int, help="one or more; 1, 16 and 64 by default")
    parser.add_argument("--seconds", type=float, default=8.0, help="about how long the rounds of a batch size take")
    parser.add_argument("--reference-batch", type=int, default=16, help="largest batch of the reference")
    parser.add_argument("--interleaved-batch", type=int, default=16, help="larger ones get a single round")
    parser.add_argument("--note", default="", type=" {}".format, help="a note for the reader, such as a busy machine")
    args = parser.parse_args(arguments)
    with measuring(threads=1):
        return written(report(args), args.out)


if __name__ == "__main__":
    main()
