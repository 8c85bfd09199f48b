"""The methods of the navigator's benchmark: copgen, eager PyTorch and torch.compile; and ways to sample latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import timing
from copgen.latents import draw_latents, navigate
from copgen.runtime.native import native as copgen_native

OURS, EAGER, COMPILED = "copgen navigate", "eager PyTorch", "torch.compile"
NATIVE, ROUNDED = "csrc alone", "copgen navigate, precision high"  # on CUDA: its FMA kernel; operands of 11 bits
DELTA = 0.2
Step = Callable[..., tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True, order=True)
class Shape:
    """A batch of latents and the width of both layers."""

    rows: int
    width: int

    def __str__(self) -> str:
        return f"{self.rows} x {self.width}"

    @property
    def flops(self) -> float:
        """Floating-point operations of the forward pass's two products."""
        return 4.0 * self.rows * self.width**2

    @property
    def bytes(self) -> float:
        """float32 latents read and written once, and the weights read."""
        return 4.0 * (2 * self.rows * self.width + 2 * self.width**2)


def eager(z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a user would write: z', d, and the same statistics."""
    z_pos = z + F.linear(F.relu(F.linear(z, w1, b1)), w2, b2)
    with torch.no_grad():
        m = z_pos - z
        d = m.norm(dim=1) / m.shape[1] ** 0.5
        stats = torch.stack(((d > DELTA).sum().to(d.dtype), d.mean(), d.std(), d.max(), m.mean(), m.std()))
    return z_pos, d, stats


def ours(z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same by the library."""
    moved = navigate(z, w1, b1, w2, b2, delta=DELTA)
    return moved.z_pos, moved.d, moved.stats


def native(z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The operator of csrc, whichever one the library chooses."""
    from copgen.latents.operations import operators  # only where it is built

    return operators.navigate(z, w1, b1, w2, b2, DELTA)


def rounded(z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The library's choice with torch's float32 precision "high"."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return ours(z, w1, b1, w2, b2)
    finally:
        torch.set_float32_matmul_precision(before)


def implementations(device: torch.device) -> dict[str, Step]:
    """What the library has beside its choice on this device."""
    library = copgen_native()
    built = library.cuda if device.type == "cuda" else library.usable
    return {**({NATIVE: native} if built else {}), ROUNDED: rounded}


def error(step: Step, shape: Shape, device: torch.device) -> float:
    """The relative error of the distances d against float64 on the CPU."""
    tensors = inputs(shape, device, grad=False)
    exact = eager(*(x.cpu().double() for x in tensors))[1]
    return float((step(*tensors)[1].cpu().double() - exact).norm() / exact.norm())


def methods(*, compiled: bool) -> dict[str, Step]:
    """The methods by name; the compiled one is compiled once for all batches."""
    found: dict[str, Step] = {OURS: ours, EAGER: eager}
    return {**found, COMPILED: torch.compile(eager, dynamic=True)} if compiled else found


def inputs(shape: Shape, device: torch.device, *, grad: bool) -> list[Tensor]:
    """Random latents and weights; with `grad`, weights that learn, as in navigate."""
    draw = torch.Generator().manual_seed(0)
    sizes = ((shape.rows, shape.width), (shape.width, shape.width), (shape.width,), (shape.width, shape.width))
    tensors = [torch.randn(size, generator=draw) for size in (*sizes, (shape.width,))]
    scale = shape.width**-0.5
    z, *weights = (x if place == 0 else scale * x for place, x in enumerate(tensors))
    return [z.to(device), *(w.to(device).requires_grad_(grad) for w in weights)]


def call(step: Step, tensors: list[Tensor], *, backward: bool) -> timing.Call:
    """A call as in sample, without gradients; or as in navigate, the gradients of the weights from that of z'."""
    upstream = torch.ones_like(tensors[0])

    def forward() -> object:
        with torch.no_grad():
            return step(*tensors)

    def both_ways() -> object:
        return torch.autograd.grad(step(*tensors)[0], tensors[1:], upstream)

    return both_ways if backward else forward


def temporaries(name: str, rows: int, width: int, backward: bool) -> int | None:
    """One method's temporaries on the CPU, for a separate process: the peak above the inputs, minus the outputs."""
    torch.set_num_threads(2)
    tensors = inputs(Shape(rows, width), timing.CPU, grad=backward)
    # In both cases z' exists at the same time as the temporaries; gradients of the weights are small in comparison.
    returned = tensors[0].numel() * tensors[0].element_size()
    peak = timing.peak_memory_cpu(call(methods(compiled=False)[name], tensors, backward=backward))
    return None if peak is None else max(peak - returned, 0)


# Draws


def by_index_in_numpy(rows: int, width: int) -> np.ndarray:
    """NumPy's counter-based generator, re-keyed for each row: the cost of "a function of (seed, k)" there."""
    out = np.empty((rows, width), dtype=np.float32)
    for k in range(rows):
        out[k] = np.random.Generator(np.random.Philox(key=0, counter=[0, 0, 0, k])).standard_normal(width)
    return out


def resampled(rows: int, width: int, device: torch.device) -> Tensor:
    """A normal truncated at 2 by resampling, from torch's generator: not a function of the row."""
    z = torch.randn(rows, width, device=device)
    beyond = z.abs() > 2.0
    while beyond.any():
        z[beyond] = torch.randn(int(beyond.sum()), device=device)
        beyond = z.abs() > 2.0
    return z


def draws(rows: int, width: int, device: torch.device) -> dict[str, Callable[[], object]]:
    """The draws by name."""
    numbers = torch.arange(rows, device=device)
    return {
        "copgen draw_latents, normal": lambda: draw_latents(numbers, dim=width, seed=0),
        "copgen draw_latents, truncated": lambda: draw_latents(numbers, dim=width, seed=0, threshold=2.0),
        "torch.randn": lambda: torch.randn(rows, width, device=device),
        "torch.randn, truncated by resampling": lambda: resampled(rows, width, device),
        "NumPy Philox by index": lambda: by_index_in_numpy(rows, width),
    }
