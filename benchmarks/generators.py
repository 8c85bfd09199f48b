"""Images per second and peak memory of each generator, compared with spectral norm recomputed at every call.

python -m benchmarks.generators --out benchmarks/results/generators-cpu.md      # about 45 minutes on one core
python -m benchmarks.generators --toy                                           # seconds: tests the benchmark

Weights are random, widths as published. CPU: one thread, process CPU time. Median and 10th to 90th percentile of
interleaved rounds; batches above 16 take half a minute each, so they have a single one, and no reference. The options
move these limits: a few minutes on a laptop, more on a GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import generators_weights as weights
from benchmarks import timing
from benchmarks.timing import Timing
from copgen.generators.protocol import Generator

Call = Callable[[], object]
REFERENCE = "reference: sigma at every call"


@dataclass(frozen=True)
class Row:
    """One way to run a generator at one batch size."""

    generator: str
    batch: int
    way: str
    timing: Timing | None
    memory: int | None
    note: str = ""

    def line(self, reference: float | None) -> str:
        """A row of the table."""
        if self.timing is None:
            return f"| {self.batch} | {self.way} | - | - | - | - | {self.note} |"
        speed = 1e3 * self.batch / self.timing.median
        spread = f"{self.timing.low:.0f}-{self.timing.high:.0f}" if self.timing.rounds > 1 else "one round"
        ratio = f"{reference / self.timing.median:.2f}" if reference else "-"
        memory = f"{self.memory / 2**20:.0f}" if self.memory is not None else "-"
        numbers = f"{speed:.2f} | {self.timing.median:.0f} ({spread}) | {ratio} | {memory}"
        return f"| {self.batch} | {self.way} | {numbers} | {self.note} |"


def peak_of(call: Call, device: torch.device) -> int | None:
    """Extra peak memory of a call, after a warm-up call."""
    return timing.peak_memory_cuda(call) if device.type == "cuda" else timing.peak_memory_once(call)


def once(call: Call, device: torch.device) -> tuple[Timing, int | None]:
    """A single round, with its memory."""
    spent: list[float] = []

    def timed() -> None:
        begin = time.process_time()
        call()
        spent.append((time.process_time() - begin) * 1e3)

    if device.type == "cuda":
        return timing.interleaved({"": call}, device, rounds=(1, 1), seconds=0)[""], peak_of(call, device)
    memory = peak_of(timed, device)
    return Timing(spent[0], spent[0], spent[0], 1), memory


def compiled(G: Generator) -> Call:
    """A generator's forward by torch.compile."""
    forward: Any = torch.compile(G.forward)
    return forward  # type: ignore[no-any-return]


def ways(name: str, path: Path, batch: int, args: argparse.Namespace) -> dict[str, Callable[[], Call]]:
    """The ways to run it, each as a factory, so that only one is in memory at a time at large batches."""
    device, flow = torch.device(args.device), name == "residual-flow-mnist"

    def ours(*, compile_it: bool = False, **options: Any) -> Callable[[], Call]:
        def make() -> Call:
            G = weights.load(name, path, device=device, **options)
            z, condition = weights.inputs(G, batch)
            forward: Any = compiled(G) if compile_it else G
            if compile_it:
                forward(z, condition)  # compile before a single timed round
            return lambda: forward(z, condition)

        return make

    found: dict[str, Callable[[], Call]] = {"float32": ours()}
    if batch <= args.reference_batch:
        found[REFERENCE] = lambda: weights.reference_call(name, path, weights.load(name, path, device=device), batch)
    if not flow and batch <= args.bfloat16_batch:
        found["bfloat16, channels last"] = ours(precision="bfloat16", memory_format="channels_last")
    if batch <= args.compile_batch and not flow:
        found["float32, compiled"] = ours(compile_it=True)
        if batch <= args.bfloat16_batch:
            low = {"precision": "bfloat16", "memory_format": "channels_last"}
            found["bfloat16, channels last, compiled"] = ours(compile_it=True, **low)
    return found


@torch.no_grad()
def measure(name: str, path: Path, batch: int, args: argparse.Namespace) -> list[Row]:
    """All ways at one batch size."""
    device = torch.device(args.device)
    rows: list[Row] = []
    calls: dict[str, Call] = {}
    memory: dict[str, int | None] = {}
    for way, make in ways(name, path, batch, args).items():
        try:
            call = make()
            if batch > args.interleaved_batch:
                rows.append(Row(name, batch, way, *once(call, device)))
                continue
            call()
            memory[way] = peak_of(call, device)
            calls[way] = call
        except Exception as error:  # the row gives the reason
            rows.append(Row(name, batch, way, None, None, f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"))
    if calls:
        rounds = (3, 15) if batch == 1 else (2, 3)
        timings = timing.interleaved(calls, device, rounds=rounds, seconds=args.seconds)
        rows = [Row(name, batch, way, timings[way], memory[way]) for way in calls] + rows
    return rows


def table(name: str, rows: list[Row]) -> list[str]:
    """A generator's section."""
    lines = [
        f"## {name}",
        "",
        "| batch | way | images/s | ms per batch (p10-p90) | reference / this | extra peak MiB | note |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        same = (other.timing for other in rows if other.batch == row.batch and other.way == REFERENCE)
        found = next(same, None)
        lines.append(row.line(found.median if found is not None else None))
    return [*lines, ""]


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", action="append", choices=weights.NAMES, help="one or more; all by default")
    parser.add_argument("--batch", action="append", type=int, help="one or more; 1, 16 and 64 by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=8.0, help="about how long the rounds of a batch size take")
    parser.add_argument("--reference-batch", type=int, default=16, help="largest batch of the reference")
    parser.add_argument("--compile-batch", type=int, default=64, help="largest batch of torch.compile")
    parser.add_argument("--bfloat16-batch", type=int, default=64, help="largest batch in bfloat16")
    parser.add_argument("--interleaved-batch", type=int, default=16, help="larger ones get a single round")
    parser.add_argument("--toy", action="store_true", help="an eighth of the widths, batch 1 and 2")
    parser.add_argument("--note", default="", type=" {}".format, help="a note for the reader, such as a busy machine")
    parser.add_argument("--out", type=Path, help="the report; sections are appended to an existing report")
    args = parser.parse_args()
    torch.set_num_threads(1)
    batches = args.batch or ([1, 2] if args.toy else [1, 16, 64])
    lines = []
    with weights.temporary() as folder:
        for name in args.generator or weights.NAMES:
            path = weights.write(name, Path(folder), narrow=8 if args.toy else 1)
            rows = [row for batch in batches for row in measure(name, path, batch, args)]
            lines += table(name, rows)
            path.unlink()
    head = [
        "# Generators: forward passes",
        "",
        f"Measured on: {timing.machine(torch.device(args.device))}.",
        "",
        "Random weights at the published widths. Extra peak memory: above the network's own, of one call. The flow has "
        "random weights too, with which its fixed points take fewer rounds than trained ones are expected to; it runs "
        "in float32 alone, as bfloat16 is too coarse for fixed points, and uncompiled, as its items decide how long it "
        "iterates." + args.note,
        "",
    ]
    if args.out is None:
        sys.stdout.write("\n".join([*head, *lines]))
    elif args.out.exists():
        args.out.write_text("\n".join([args.out.read_text().rstrip("\n"), "", *lines]).rstrip("\n") + "\n")
    else:
        args.out.write_text("\n".join([*head, *lines]).rstrip("\n") + "\n")


if __name__ == "__main__":
    main()
