"""The navigator and random latents against plain PyTorch: `python -m benchmarks.navigator [--device cpu|cuda]`.

z' = z + MLP(z), its distances and statistics, float32, forward and forward with the weights' gradients. All methods
are interleaved in one run. On the CPU, wall clock with all threads or CPU time of one thread; on CUDA, events.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks import navigator_methods as m
from benchmarks import timing
from benchmarks.navigator_methods import COMPILED, EAGER, OURS, Shape

ROWS, WIDTHS = (64, 256, 4096, 65536), (120, 128, 784)
HEADLINE, LARGE, WIDEST = Shape(256, 120), Shape(65536, 120), Shape(65536, 784)
DRAWN = Shape(16384, 120)
MIB = 2**20
WAYS = ("forward", "forward and backward")
NUMPY = "NumPy Philox by index"
RESAMPLED = "torch.randn, truncated by resampling"


@dataclass
class Found:
    """The measurements of a run: medians in ms by (shape, way, method), temporaries in bytes, sampling in ms."""

    ms: dict[tuple[Shape, str, str], float] = field(default_factory=dict)
    memory: dict[tuple[str, str], int] = field(default_factory=dict)
    draws: dict[str, float] = field(default_factory=dict)

    def ratio(self, shape: Shape, way: str, peer: str) -> float | None:
        """How many times faster than a peer."""
        ours, theirs = self.ms.get((shape, way, OURS)), self.ms.get((shape, way, peer))
        return theirs / ours if ours and theirs else None


def _clock() -> Callable[[], float]:
    # CPU time of one thread is independent of other processes; that of several does not include waiting.
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def report(
    device: torch.device, *, rows: Sequence[int], widths: Sequence[int], toy: bool, most_gflop: float = math.inf
) -> str:
    """The whole benchmark as markdown."""
    found = Found()
    count = torch.get_num_threads()
    threads = "one thread, process CPU time" if count == 1 else f"{count} threads, wall clock"
    copy, products = rates(device)
    parts = [
        "# The navigator and random latents",
        "",
        f"Measured on: {timing.machine(device, ('numpy',), threads)}.",
        "",
        "Milliseconds: median and 10th to 90th percentile of interleaved rounds; ratio: theirs to ours. Floor: what the"
        f" forward pass needs at this machine's measured rates, {copy / 1e9:.1f} GB/s copied and"
        f" {products / 1e9:.0f} GFLOP/s in float32 products.",
        "",
    ]
    for width in widths:
        torch.compiler.reset()
        methods = m.methods(compiled=not toy)
        for way in WAYS:
            parts += [
                f"## Width {width}, {way}",
                "",
                *_head(("batch", "method", "median ms", "p10-p90", "ratio", "floor ms")),
            ]
            for count in rows:
                shape = Shape(count, width)
                if shape.flops > 1e9 * most_gflop:
                    continue
                sys.stderr.write(f"{shape}, {way}\n")
                floor_ms = 1e3 * max(shape.bytes / copy, shape.flops / products)
                parts += measure(found, shape, way, methods, device, floor_ms=floor_ms, toy=toy)
            parts.append("")
    parts += [*memory(found, device, toy=toy), *draw(found, device, toy=toy)]
    return "\n".join([*parts, *targets(found, device)]) + "\n"


def measure(
    found: Found,
    shape: Shape,
    way: str,
    methods: dict[str, m.Step],
    device: torch.device,
    *,
    floor_ms: float,
    toy: bool,
) -> Iterable[str]:
    """The rows of a table."""
    backward = way != WAYS[0]
    tensors = m.inputs(shape, device, grad=backward)
    upstream = torch.ones_like(tensors[0])
    calls: dict[str, Callable[[], object]] = {}
    for name, step in methods.items():
        call = (
            functools.partial(m.both_ways, step, tensors, upstream)
            if backward
            else functools.partial(m.forward, step, tensors)
        )
        call()
        calls[name] = call
    rounds, seconds = ((2, 2), 0.0) if toy else ((5, 201), 1.5)
    times = timing.interleaved(calls, device, rounds=rounds, seconds=seconds, clock=_clock())
    for name, took in times.items():
        found.ms[shape, way, name] = took.median
        ratio = took.median / times[OURS].median
        cells = (shape.rows, name, _ms(took.median), f"{_ms(took.low)}-{_ms(took.high)}", f"{ratio:.2f}")
        yield _row((*cells, _ms(floor_ms) if not backward else "-"))


def memory(found: Found, device: torch.device, *, toy: bool) -> Iterable[str]:
    """Temporaries at the largest shape, in separate processes."""
    if device.type != "cpu":
        return
    shape = HEADLINE if toy else WIDEST
    yield from (f"## Temporaries at {shape}", "", *_head(("method", "way", "MiB")))
    for way, short in zip(WAYS, ("forward", "both"), strict=True):
        for name in (OURS, EAGER):
            sys.stderr.write(f"memory of {name}, {way}\n")
            said = timing.in_child("benchmarks.navigator_memory", [name, str(shape.rows), str(shape.width), short])
            known = int(said) if said is not None and said.isdigit() else None
            if known is not None and not toy:
                found.memory[way, name] = known
            yield _row((name, way, "-" if known is None else f"{known / MIB:.1f}"))
    yield ""


def draw(found: Found, device: torch.device, *, toy: bool) -> Iterable[str]:
    """Sampling of latents."""
    shape = Shape(32, 8) if toy else DRAWN
    yield from (f"## Sampling {shape}", "", *_head(("method", "median ms", "p10-p90", "ns a number")))
    calls = m.draws(shape.rows, shape.width, device)
    for call in calls.values():
        call()
    rounds, seconds = ((2, 2), 0.0) if toy else ((5, 101), 5.0)
    for name, took in timing.interleaved(calls, device, rounds=rounds, seconds=seconds, clock=_clock()).items():
        found.draws[name] = took.median
        each = 1e6 * took.median / (shape.rows * shape.width)
        yield _row((name, _ms(took.median), f"{_ms(took.low)}-{_ms(took.high)}", f"{each:.1f}"))
    yield ""


def targets(found: Found, device: torch.device) -> Iterable[str]:
    """The targets; "not measured" if a run has no measurement."""
    yield from ("## Targets", "", *_head(("target", "reached", "verdict")))

    def line(target: str, reached: float | None, least: float) -> str:
        verdict = "not measured" if reached is None else "met" if reached >= least else "missed"
        return _row((target, "-" if reached is None else f"{reached:.2f}x", verdict))

    if device.type == "cuda":
        yield line(f"GPU {HEADLINE}: >= 4x eager", found.ratio(HEADLINE, WAYS[0], EAGER), 4.0)
        yield line(f"GPU {HEADLINE}: >= 1.5x torch.compile", found.ratio(HEADLINE, WAYS[0], COMPILED), 1.5)
        return
    for way in WAYS:
        yield line(f"CPU {HEADLINE}, {way}: >= 2x eager", found.ratio(HEADLINE, way, EAGER), 2.0)
        yield line(f"CPU {LARGE}, {way}: >= 1.3x eager", found.ratio(LARGE, way, EAGER), 1.3)
    ratios = {key: found.ratio(key[0], key[1], EAGER) for key in found.ms if key[2] == OURS}
    known = {f"{shape}, {way}": ratio for (shape, way, _), ratio in ratios.items() if ratio is not None}
    whole = len(known) == len(ROWS) * len(WIDTHS) * len(WAYS)
    worst = min(known, key=lambda key: known[key]) if whole else ""
    yield line(f"CPU, never slower than eager{f' (worst: {worst})' if worst else ''}", known.get(worst), 1.0)
    for way in WAYS:
        ours, theirs = found.memory.get((way, OURS)), found.memory.get((way, EAGER))
        saved = theirs / ours if ours and theirs else None
        yield line(f"CPU {WIDEST}, {way}: temporaries <= 1/4 of eager's", saved, 4.0)
    for kind in ("normal", "truncated"):
        took = found.draws.get(f"copgen draw_latents, {kind}")
        for peer, least in ((NUMPY, 10.0), (RESAMPLED, 1.0)):
            theirs_ms = found.draws.get(peer)
            yield line(f"{kind}: >= {least:g}x {peer}", theirs_ms / took if took and theirs_ms else None, least)


def rates(device: torch.device) -> tuple[float, float]:
    """Bytes copied per second and FLOP/s of matrix products, as measured on this machine."""
    size, n = (1 << 26, 8192) if device.type == "cuda" else (1 << 24, 1024)
    a, b = torch.empty(size, device=device), torch.ones(size, device=device)
    x = torch.randn(n, n, device=device)
    calls: dict[str, Callable[[], object]] = {"copy": lambda: a.copy_(b), "product": lambda: torch.mm(x, x)}
    for call in calls.values():
        call()
    took = timing.interleaved(calls, device, rounds=(5, 9), seconds=2.0, clock=_clock())
    return 8.0 * size / (took["copy"].median * 1e-3), 2.0 * n**3 / (took["product"].median * 1e-3)


def _head(columns: Sequence[str]) -> tuple[str, str]:
    return _row(columns), "|" + "---|" * len(columns)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _ms(value: float) -> str:
    return f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = argparse.ArgumentParser(prog="benchmarks.navigator", description=(__doc__ or "").splitlines()[0])
    available = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=available, help=f"here: {available}")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="batches")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="widths of both layers")
    parser.add_argument("--threads", type=int, help="on the CPU; with 1, CPU time instead of wall clock")
    parser.add_argument("--most-gflop", type=float, default=math.inf, help="skip larger forward passes")
    parser.add_argument("--toy", action="store_true", help="two rounds, nothing compiled; tests the benchmark")
    parser.add_argument("--out", type=Path, help="a file for the report; it is printed in any case")
    chosen = parser.parse_args(arguments)
    if chosen.device == "cuda" and available != "cuda":
        parser.error("no CUDA device found")
    rows, widths = ((8, 16), (8,)) if chosen.toy else (chosen.rows, chosen.widths)
    threads = torch.get_num_threads()
    torch.set_num_threads(chosen.threads or threads)
    try:
        device = torch.device(chosen.device)
        text = report(device, rows=rows, widths=widths, toy=chosen.toy, most_gflop=chosen.most_gflop)
    finally:
        torch.set_num_threads(threads)
    sys.stdout.write(text)
    if chosen.out is not None:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(text)
    return text


if __name__ == "__main__":
    main()
