"""The navigator and random latents against plain PyTorch: `python -m benchmarks.navigator [--device cpu|cuda]`.

z' = z + MLP(z), its distances and statistics, float32, forward and forward with the weights' gradients. All methods
are interleaved in one run. On the CPU, wall clock with all threads or CPU time of one thread; on CUDA, events.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch

from benchmarks import navigator_methods as m
from benchmarks import timing
from benchmarks.navigator_methods import COMPILED, EAGER, OURS, Shape
from benchmarks.report import (
    VERDICTS,
    divided,
    head,
    measuring,
    mib,
    milliseconds,
    options,
    progress,
    ratio_verdict,
    table,
    written,
)

ROWS, WIDTHS = (64, 256, 4096, 65536), (120, 128, 784)
HEADLINE, LARGE, WIDEST = Shape(256, 120), Shape(65536, 120), Shape(65536, 784)
DRAWN = Shape(16384, 120)
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
        return divided(self.ms.get((shape, way, peer)), self.ms.get((shape, way, OURS)))


def report(
    device: torch.device, *, rows: Sequence[int], widths: Sequence[int], toy: bool, most_gflop: float = math.inf
) -> Iterable[str]:
    """The whole benchmark as markdown."""
    found = Found()
    copy, products = rates(device)
    yield from head("The navigator and random latents", timing.machine(device, ("numpy",)), toy=toy)
    yield (
        "Milliseconds: median and 10th to 90th percentile of interleaved rounds; ratio: theirs to ours. Floor: what the"
        f" forward pass needs at this machine's measured rates, {copy / 1e9:.1f} GB/s copied and"
        f" {products / 1e9:.0f} GFLOP/s in float32 products."
    )
    for width in widths:
        torch.compiler.reset()
        methods = m.methods(compiled=not toy)
        for way in WAYS:
            yield from ("", f"## Width {width}, {way}", "")
            measured: list[Sequence[object]] = []
            for shape in (Shape(count, width) for count in rows):
                if shape.flops <= 1e9 * most_gflop:
                    progress(f"{shape}, {way}")
                    floor_ms = 1e3 * max(shape.bytes / copy, shape.flops / products)
                    measured += measure(found, shape, way, methods, device, floor_ms=floor_ms, toy=toy)
            yield from table(("batch", "method", "median ms", "p10-p90", "ratio", "floor ms"), measured)
    if device.type == "cpu":
        yield from memory(found, toy=toy)
    yield from draw(found, device, toy=toy)
    yield from ("## Targets", "", *targets(found, device))


def measure(
    found: Found,
    shape: Shape,
    way: str,
    methods: dict[str, m.Step],
    device: torch.device,
    *,
    floor_ms: float,
    toy: bool,
) -> Iterable[Sequence[object]]:
    """The rows of a table."""
    backward = way != WAYS[0]
    tensors = m.inputs(shape, device, grad=backward)
    calls = {name: m.call(step, tensors, backward=backward) for name, step in methods.items()}
    for call in calls.values():
        call()
    times = timing.interleaved(calls, device, rounds=(5, 201), seconds=1.5, toy=toy)
    for name, took in times.items():
        found.ms[shape, way, name] = took.median
        ratio = took.median / times[OURS].median
        yield shape.rows, name, *took.cells, f"{ratio:.2f}", None if backward else milliseconds(floor_ms)


def memory(found: Found, *, toy: bool) -> Iterable[str]:
    """Temporaries at the largest shape, in separate processes."""
    shape = HEADLINE if toy else WIDEST
    rows: list[Sequence[object]] = []
    for way in WAYS:
        for name in (OURS, EAGER):
            progress(f"memory of {name}, {way}")
            known = timing.in_child(m.temporaries, name, shape.rows, shape.width, way != WAYS[0])
            if known is not None and not toy:
                found.memory[way, name] = known
            rows.append((name, way, mib(known)))
    yield from (f"## Temporaries at {shape}", "", *table(("method", "way", "MiB"), rows))


def draw(found: Found, device: torch.device, *, toy: bool) -> Iterable[str]:
    """Sampling of latents."""
    shape = Shape(32, 8) if toy else DRAWN
    calls = m.draws(shape.rows, shape.width, device)
    for call in calls.values():
        call()
    times = timing.interleaved(calls, device, rounds=(5, 101), seconds=5.0, toy=toy)
    found.draws = {name: took.median for name, took in times.items()}
    numbers = shape.rows * shape.width
    rows = [(name, *took.cells, f"{1e6 * took.median / numbers:.1f}") for name, took in times.items()]
    yield from (f"## Sampling {shape}", "", *table(("method", "median ms", "p10-p90", "ns a number"), rows))


def targets(found: Found, device: torch.device) -> list[str]:
    """The targets; "not measured" if a run has no measurement."""
    if device.type == "cuda":
        gpu = ((4, "eager", EAGER), (1.5, "torch.compile", COMPILED))
        claims = [
            (f"GPU {HEADLINE}: >= {least}x {what}", found.ratio(HEADLINE, WAYS[0], peer), least)
            for least, what, peer in gpu
        ]
    else:
        claims = list(_on_cpu(found))
    return table(VERDICTS, [ratio_verdict(*claim) for claim in claims])


def _on_cpu(found: Found) -> Iterable[tuple[str, float | None, float]]:
    for way, least in zip(WAYS, (2.0, 1.2), strict=True):
        yield f"CPU {HEADLINE}, {way}: >= {least:g}x eager", found.ratio(HEADLINE, way, EAGER), least
        yield f"CPU {LARGE}, {way}: >= 1.3x eager", found.ratio(LARGE, way, EAGER), 1.3
    ratios = {key: found.ratio(key[0], key[1], EAGER) for key in found.ms if key[2] == OURS}
    known = {f"{shape}, {way}": ratio for (shape, way, _), ratio in ratios.items() if ratio is not None}
    whole = len(known) == len(ROWS) * len(WIDTHS) * len(WAYS)
    worst = min(known, key=lambda key: known[key]) if whole else ""
    yield f"CPU, never slower than eager{f' (worst: {worst})' if worst else ''}", known.get(worst), 1.0
    for way in WAYS:
        saved = divided(found.memory.get((way, EAGER)), found.memory.get((way, OURS)))
        yield f"CPU {WIDEST}, {way}: temporaries <= 1/4 of eager's", saved, 4.0
    for kind in ("normal", "truncated"):
        took = found.draws.get(f"copgen draw_latents, {kind}")
        for peer, least in ((NUMPY, 10.0), (RESAMPLED, 1.0)):
            yield f"{kind}: >= {least:g}x {peer}", divided(found.draws.get(peer), took), least


def rates(device: torch.device) -> tuple[float, float]:
    """Bytes copied per second and FLOP/s of matrix products, as measured on this machine."""
    size, n = (1 << 26, 8192) if device.type == "cuda" else (1 << 24, 1024)
    a, b = torch.empty(size, device=device), torch.ones(size, device=device)
    x = torch.randn(n, n, device=device)
    calls: dict[str, Callable[[], object]] = {"copy": lambda: a.copy_(b), "product": lambda: torch.mm(x, x)}
    for call in calls.values():
        call()
    took = timing.interleaved(calls, device, rounds=(5, 9), seconds=2.0)
    return 8.0 * size / (took["copy"].median * 1e-3), 2.0 * n**3 / (took["product"].median * 1e-3)


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="batches")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="widths of both layers")
    parser.add_argument("--threads", type=int, help="on the CPU; with 1, CPU time instead of wall clock")
    parser.add_argument("--most-gflop", type=float, default=math.inf, help="skip larger forward passes")
    chosen = parser.parse_args(arguments)
    rows, widths = ((8, 16), (8,)) if chosen.toy else (chosen.rows, chosen.widths)
    with measuring(threads=chosen.threads):
        lines = report(chosen.device, rows=rows, widths=widths, toy=chosen.toy, most_gflop=chosen.most_gflop)
        return written(lines, chosen.out)


if __name__ == "__main__":
    main()
