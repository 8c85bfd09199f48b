"""The targets of the contrastive loss, and whether a run met them.

A target without a measurement is "not measured", never "met".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import contrastive_peers as peers

MIB = 2**20
TENSOR_FLOPS = 790e12  # dense 16-bit products on an H200, FLOP/s
EXPONENTIALS = 4.2e12  # exponentials on an H200, 1/s


@dataclass(frozen=True, order=True)
class Shape:
    """K pairs of dimension D."""

    k: int
    d: int
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"K={self.k} D={self.d} {self.dtype}"


@dataclass(frozen=True)
class Number:
    """The measurements of a method at a shape; None if not measured."""

    ms: float | None = None
    graph_ms: float | None = None
    kernels: int | None = None
    memory: int | None = None

    @property
    def device_ms(self) -> float | None:
        """The time of a CUDA graph's replay if available, which excludes Python's launch overhead."""
        return self.ms if self.graph_ms is None else self.graph_ms


Numbers = Mapping[tuple[Shape, str], Number]
NOTHING = Number()

CPU_SHAPES = (Shape(64, 128), Shape(256, 128), Shape(1024, 128), Shape(4096, 128), Shape(2048, 512))
CUDA_SHAPES = (
    *(Shape(k, 128, "float16") for k in (256, 4096, 16384, 65536)),
    Shape(65536, 512, "float16"),
    Shape(65536, 2048, "float16"),
    Shape(4096, 128, "bfloat16"),
    Shape(4096, 128, "float32"),
)
CPU_HEADLINE = Shape(4096, 128)
# Peer, our method, the target ratio; of several peers the fastest counts.
CPU_RATIOS = (
    ("torch cross_entropy", "first", (peers.CROSS_ENTROPY,), 3.5),
    ("the best torch.compile", "first", peers.COMPILED, 1.6),
    ("F.linear_cross_entropy", "first", (peers.LINEAR_CROSS_ENTROPY,), 1.2),
    ("lightly, symmetric", "both", (peers.LIGHTLY,), 8.0),
)
CPU_MEMORY_MIB = 16.0
CUDA_MS = (
    (256, 128, 0.015),
    (4096, 128, 0.09),
    (16384, 128, 1.2),
    (65536, 128, 19),
    (65536, 512, 58),
    (65536, 2048, 170),
)
CUDA_KERNELS = 4


def floor_ms(shape: Shape) -> tuple[float, float]:
    """The lower bounds on an H200: 12 K^2 D floating-point operations, and two exponentials per logit."""
    logits = 2 * shape.k**2
    return 12e3 * shape.k**2 * shape.d / TENSOR_FLOPS, 2e3 * logits / EXPONENTIALS


def lines(numbers: Numbers) -> list[str]:
    """The targets as a markdown table."""
    head = ["| target | reached | verdict |", "|---|---|---|"]
    return [*head, *_cpu_ratios(numbers), _cpu_memory(numbers), _never_slower(numbers), *_cuda(numbers)]


def _line(target: str, reached: str | None, met: bool | None) -> str:
    verdict = "not measured" if met is None else "met" if met else "missed"
    return f"| {target} | {reached or '-'} | {verdict} |"


def _cpu_ratios(numbers: Numbers) -> Iterable[str]:
    for who, loss, names, least in CPU_RATIOS:
        ours = numbers.get((CPU_HEADLINE, peers.OURS["both" if loss == "both" else "first"]), NOTHING).ms
        theirs = [numbers.get((CPU_HEADLINE, name), NOTHING).ms for name in names]
        ratio = _ratio(ours, theirs)
        reached = None if ratio is None else f"{ratio:.2f}x"
        yield _line(f"CPU {CPU_HEADLINE}: >= {least}x {who}", reached, None if ratio is None else ratio >= least)


def _ratio(ours: float | None, theirs: Sequence[float | None]) -> float | None:
    measured = [ms for ms in theirs if ms is not None]
    # The best of several is only known if all were measured.
    return None if ours is None or len(measured) < len(theirs) else min(measured) / ours


def _cpu_memory(numbers: Numbers) -> str:
    memory = [numbers.get((CPU_HEADLINE, peers.OURS[loss]), NOTHING).memory for loss in ("first", "both")]
    known = [value / MIB for value in memory if value is not None]
    reached = None if len(known) < len(memory) else f"{known[0]:.1f} MiB, both: {known[1]:.1f} MiB"
    target = f"CPU {CPU_HEADLINE}: extra memory <= {CPU_MEMORY_MIB:g} MiB"
    return _line(target, reached, None if reached is None else max(known) <= CPU_MEMORY_MIB)


def _never_slower(numbers: Numbers) -> str:
    pairs = {"first": peers.CROSS_ENTROPY, "both": peers.NT_XENT}
    ratios: dict[str, float] = {}
    for shape in CPU_SHAPES:
        for loss, name in pairs.items():
            ours = numbers.get((shape, peers.OURS["both" if loss == "both" else "first"]), NOTHING).ms
            ratio = _ratio(ours, [numbers.get((shape, name), NOTHING).ms])
            if ratio is None:
                return _line("CPU, K >= 64: never slower than plain torch", None, None)
            ratios[f"{shape}, {loss}"] = ratio
    worst = min(ratios, key=lambda key: ratios[key])
    reached = f"{ratios[worst]:.2f}x at {worst}, the worst"
    return _line("CPU, K >= 64: never slower than plain torch", reached, ratios[worst] >= 1.0)


def _cuda(numbers: Numbers) -> Iterable[str]:
    for k, d, most_ms in CUDA_MS:
        shape = Shape(k, d, "float16")
        ours = numbers.get((shape, peers.OURS["first"]), NOTHING)
        ms = ours.graph_ms if k == 256 else ours.device_ms
        products, exponentials = floor_ms(shape)
        floors = f"floors {_ms(products)} products, {_ms(exponentials)} exponentials"
        reached = None if ms is None else f"{_ms(ms)}{'' if ours.graph_ms is None else ' graph-replayed'}"
        how = " graph-replayed" if k == 256 else ""
        yield _line(f"GPU {shape}: <= {_ms(most_ms)}{how} ({floors})", reached, None if ms is None else ms <= most_ms)
        if k == 256:
            kernels = ours.kernels
            met = None if kernels is None else kernels <= CUDA_KERNELS
            yield _line(f"GPU {shape}: <= {CUDA_KERNELS} kernels", None if kernels is None else str(kernels), met)


def _ms(value: float) -> str:
    return f"{value * 1e3:.3g} us" if value < 1 else f"{value:.3g} ms"
