"""The targets of the contrastive loss, and whether a run met them.

A target without a measurement is "not measured", never "met".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import contrastive_peers as peers
from benchmarks.report import MIB, VERDICTS, divided, ratio_verdict, table, verdict

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
CPU_RATIOS: tuple[tuple[str, peers.Loss, Sequence[str], float], ...] = (
    ("torch cross_entropy", "first", (peers.CROSS_ENTROPY,), 3.5),
    ("the best torch.compile", "first", peers.COMPILED, 1.6),
    ("F.linear_cross_entropy", "first", (peers.LINEAR_CROSS_ENTROPY,), 1.2),
    ("lightly, symmetric", "both", (peers.LIGHTLY,), 8.0),
)
LOSSES: dict[peers.Loss, str] = {"first": peers.CROSS_ENTROPY, "both": peers.NT_XENT}  # and plain PyTorch's name
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

    def ratio(shape: Shape, loss: peers.Loss, names: Sequence[str]) -> float | None:
        """The fastest of several to ours, which is only known if all were measured."""
        theirs = [numbers.get((shape, name), NOTHING).ms for name in names]
        measured = [ms for ms in theirs if ms is not None]
        fastest = min(measured) if len(measured) == len(theirs) else None
        return divided(fastest, numbers.get((shape, peers.OURS[loss]), NOTHING).ms)

    rows = [
        ratio_verdict(f"CPU {CPU_HEADLINE}: >= {least}x {who}", ratio(CPU_HEADLINE, loss, names), least)
        for who, loss, names, least in CPU_RATIOS
    ]
    memory = [numbers.get((CPU_HEADLINE, peers.OURS[loss]), NOTHING).memory for loss in LOSSES]
    known = [value / MIB for value in memory if value is not None]
    reached = f"{known[0]:.1f} MiB, both: {known[1]:.1f} MiB" if len(known) == len(memory) else None
    target = f"CPU {CPU_HEADLINE}: extra memory <= {CPU_MEMORY_MIB:g} MiB"
    rows.append(verdict(target, reached, met=max(known, default=0.0) <= CPU_MEMORY_MIB))
    ratios = {f"{shape}, {loss}": ratio(shape, loss, [name]) for shape in CPU_SHAPES for loss, name in LOSSES.items()}
    compared = {key: value for key, value in ratios.items() if value is not None}
    worst = min(compared, key=lambda key: compared[key], default="")
    reached = f"{compared[worst]:.2f}x at {worst}, the worst" if len(compared) == len(ratios) else None
    met = compared.get(worst, 0.0) >= 1.0
    rows.append(verdict("CPU, K >= 64: never slower than plain torch", reached, met=met))
    return table(VERDICTS, [*rows, *_cuda(numbers)])


def _cuda(numbers: Numbers) -> Iterable[tuple[str, str, str]]:
    for k, d, most_ms in CUDA_MS:
        shape = Shape(k, d, "float16")
        ours = numbers.get((shape, peers.OURS["first"]), NOTHING)
        smallest = k == 256
        ms = ours.graph_ms if smallest else ours.device_ms
        products, exponentials = floor_ms(shape)
        floors = f"floors {_ms(products)} products, {_ms(exponentials)} exponentials"
        how, replayed = (" graph-replayed" if is_so else "" for is_so in (smallest, ours.graph_ms is not None))
        reached = None if ms is None else _ms(ms) + replayed
        target = f"GPU {shape}: <= {_ms(most_ms)}{how} ({floors})"
        yield verdict(target, reached, met=ms is not None and ms <= most_ms)
        if smallest:
            kernels = ours.kernels
            reached = None if kernels is None else str(kernels)
            target = f"GPU {shape}: <= {CUDA_KERNELS} kernels"
            yield verdict(target, reached, met=kernels is not None and kernels <= CUDA_KERNELS)


def _ms(value: float) -> str:
    return f"{value * 1e3:.3g} us" if value < 1 else f"{value:.3g} ms"
