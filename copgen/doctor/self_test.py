"""The self-test of `copgen doctor`: each operation as dispatched on this machine, compared with float64, and timed with
its reference.

The inputs are small and deterministic, the same on every machine. The tolerance is the rounding error of float32 sums
of this length; a wrong kernel misses it by orders of magnitude.
"""

from __future__ import annotations

import copy
import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen import views
from copgen.evaluation.pruned_search import search_in
from copgen.generators.residual_flow import anderson
from copgen.generators.residual_flow.folded import FoldedNet
from copgen.generators.residual_flow.inversion import FixedPoint
from copgen.generators.residual_flow.lipschitz import LipschitzLinear, LipSwish
from copgen.latents.operations import constrain, draw_latents, navigate
from copgen.latents.operations import reference as latents
from copgen.latents.operations.constrain import Constrained
from copgen.latents.operations.navigate import Moved
from copgen.objectives import info_nce
from copgen.objectives import reference as losses
from copgen.runtime import philox
from copgen.runtime.dispatch import Operation
from copgen.views.each import apply_in_parts

K, DIM = 320, 120  # more logits than one tile of the CPU has, which PyTorch multiplies
SHAPE = f"{K} x {DIM}"
NEIGHBOURS = 5
DELTA, TEMPERATURE, THRESHOLD = 0.2, 0.1, 2.0
TOLERANCE = 1e-5
SECONDS = 0.1  # for the timing of one function
Run = Callable[[], Sequence[Tensor]]


@dataclass(frozen=True)
class SelfTest:
    """An operation as dispatched, its reference, its reference in float64, and the tolerance."""

    operation: Operation
    chosen: Run
    reference: Run
    exact: Run
    bound: float

    def run(self, device: torch.device) -> dict[str, Any]:
        """The largest difference from float64, whether it is within the tolerance, and both times.

        Whatever the operation raises makes a failed self-test, as the report is for machines where something is wrong.
        """
        try:
            error = self._error()
            times = [_microseconds(run, device) for run in (self.chosen, self.reference)]
        except Exception as raised:
            return failed(raised, self.bound)
        return {
            "shape": SHAPE,
            "error": error if math.isfinite(error) else None,  # JSON has no NaN
            "bound": self.bound,
            "passed": error <= self.bound,  # false for a NaN
            "failure": "" if math.isfinite(error) else f"the difference from float64 is {error}",
            "microseconds": times[0],
            "reference_microseconds": times[1],
        }

    def _error(self) -> float:
        """The largest absolute difference over all outputs; NaN if any is."""
        pairs = zip(self.chosen(), self.exact(), strict=True)
        return float(torch.stack([(found.double() - exact.double()).abs().max() for found, exact in pairs]).max())


def failed(error: Exception, bound: float | None = None) -> dict[str, Any]:
    """The result of a self-test that raised an exception."""
    return {
        "shape": SHAPE,
        "error": None,
        "bound": bound,
        "passed": False,
        "failure": "".join(traceback.format_exception_only(error)).strip(),
        "microseconds": None,
        "reference_microseconds": None,
    }


def self_tests(device: torch.device) -> Iterator[SelfTest]:
    """The checks of every operation on a device, in float32."""
    # Sums of DIM products of numbers of order 1, twice; a distance is a mean, with no larger error.
    bound = 8.0 * math.sqrt(2 * DIM) * torch.finfo(torch.float32).eps
    narrow = [x.float().to(device) for x in _navigator()]
    z, w1, b1, w2, b2 = (x.double() for x in narrow)
    z_pos = (z + 0.3 * w1[:1]).float()
    yield SelfTest(
        "navigate",
        lambda: _shifted(navigate(*narrow, delta=DELTA)),
        lambda: latents.navigate(narrow[0], narrow[1], narrow[2], narrow[3], narrow[4], DELTA)[:2],
        lambda: latents.navigate(z, w1, b1, w2, b2, DELTA)[:2],
        bound,
    )
    yield SelfTest(
        "constrain",
        lambda: _shifted(constrain(narrow[0], z_pos, delta=DELTA, mode="project")),
        lambda: latents.constrain(narrow[0], z_pos, DELTA, "project")[:2],
        lambda: latents.constrain(narrow[0].double(), z_pos.double(), DELTA, "project")[:2],
        bound,
    )
    rows = torch.arange(K, device=device)
    yield SelfTest(
        "draw_latents",
        lambda: [draw_latents(rows, dim=DIM, seed=0, threshold=THRESHOLD)],
        lambda: [latents.draw_latents(rows, 0, "latents", DIM, 1.0, THRESHOLD).float()],
        lambda: [latents.draw_latents(rows, 0, "latents", DIM, 1.0, THRESHOLD)],
        1e-6,
    )
    key = philox.stream_key(0, "doctor")
    yield SelfTest(
        "random words",
        lambda: [philox.bits(0, rows, DIM, stream="doctor")],
        lambda: [philox.plain_bits(rows, key, DIM)],
        lambda: [philox.plain_bits(rows, key, DIM)],
        0.0,
    )
    yield SelfTest(
        "fixed points",
        lambda: [_fixed_points(narrow[0], narrow[1])],
        lambda: [_fixed_points(narrow[0], narrow[1], anderson.PlainMemory)],
        lambda: [_fixed_points(z, w1, tolerance=1e-12)],
        # At most L / (1 - L) = 1 times the residual's norm.
        math.sqrt(DIM) * TOLERANCE,
    )
    block = _block(narrow[1:])
    exact_block = copy.deepcopy(block).double()
    scale = 1.0 + float(narrow[0].abs().max())
    # A plain callable is inverted in PyTorch.
    yield SelfTest(
        "flow inverse",
        lambda: _inverse(block, narrow[0], TOLERANCE),
        lambda: _inverse(block.forward, narrow[0], TOLERANCE),
        lambda: _inverse(exact_block.forward, z, 1e-12),
        scale * math.sqrt(DIM) * TOLERANCE,  # as above
    )
    images = [torch.arange(3 * K * DIM, device=device).mul(7919).remainder(256).byte().reshape(3, K, DIM)]
    policy = views.policy("simclr", jitter={"probability": 1}, size=DIM)
    drawn = views.draw(policy, seed=0, rows=range(1), stream="doctor", size=(K, DIM), device=device)
    yield SelfTest(
        "views",
        lambda: [views.apply_each(images, policy, drawn)],
        lambda: [apply_in_parts(images, policy, drawn)],
        lambda: [views.apply(images[0][None].double() / 127.5 - 1.0, policy, drawn)],
        1e-4,  # of values up to 2.7, after the sums of a crop and four changes of colour
    )
    unit = F.normalize(narrow[0] * 0.9 ** torch.arange(DIM, device=device), dim=1)  # bounds of few axes are tight
    plain = partial(_plain_nearest, unit)
    yield SelfTest(
        "nearest rows",
        lambda: [((device.type == "cpu" and search_in(unit, NEIGHBOURS, plain)) or plain)(unit)[0]],
        lambda: [plain(unit)[0]],
        lambda: [_plain_nearest(unit.double(), unit.double())[0]],
        bound,
    )
    h, h_pos = narrow[0].requires_grad_(), (narrow[0].detach() + 0.5).requires_grad_()
    exact = [x.detach().double().requires_grad_() for x in (h, h_pos)]
    yield SelfTest(
        "contrastive loss",
        lambda: _with_gradients(info_nce(h, h_pos, temperature=TEMPERATURE), [h, h_pos]),
        lambda: _with_gradients(_plain_loss(h, h_pos), [h, h_pos]),
        lambda: _with_gradients(_plain_loss(exact[0], exact[1]), exact),
        8.0 * math.sqrt(2 * K) * torch.finfo(torch.float32).eps / TEMPERATURE,
    )


def _navigator() -> list[Tensor]:
    """z, w1, b1, w2, b2."""
    step = DIM**-0.5
    parts = (("z", K, 1.0), ("w1", DIM, step), ("b1", 1, step), ("w2", DIM, 0.3 * step), ("b2", 1, step))
    scaled = [scale * philox.normal(0, range(rows), DIM, stream=f"doctor/{name}") for name, rows, scale in parts]
    return [part[0] if len(part) == 1 else part for part in scaled]


def _fixed_points(
    z: Tensor, w: Tensor, remember: type[anderson.PlainMemory] | None = None, *, tolerance: float = TOLERANCE
) -> Tensor:
    """x with x = z + sin(A x) / 2 for A = w / ||w||, row by row."""
    contraction = w / torch.linalg.matrix_norm(w, 2)
    bound = torch.full_like(z[:, 0], tolerance)

    def T(x: Tensor, rows: Tensor) -> Tensor:
        return z[rows] + 0.5 * torch.sin(x @ contraction.t())

    found = anderson.fixed_point(T, z, bound, window=3, max_rounds=100, remember=remember)
    return torch.full_like(z, math.nan) if found is None else found


@torch.no_grad()
def _block(parameters: Sequence[Tensor]) -> FoldedNet:
    """g of a residual block with these two layers, whose spectral norms become 1/2 and less."""
    with torch.random.fork_rng(devices=[]):  # their initial weights are replaced
        layers = [LipschitzLinear(DIM, DIM, coeff=0.5).requires_grad_(False) for _ in range(2)]
    for layer, weight, bias in zip(layers, parameters[::2], parameters[1::2], strict=True):
        layer.to(weight)
        layer.load_state_dict({**layer.state_dict(), "weight": weight, "bias": bias})
        layer.power_iterate(20)
    return FoldedNet([LipSwish().to(parameters[0]), layers[0], LipSwish().to(parameters[0]), layers[1]])


def _inverse(g: Callable[[Tensor], Tensor], y: Tensor, tolerance: float) -> list[Tensor]:
    """x with x + g(x) = y, and a gradient through it."""
    rule = FixedPoint(tolerance)
    with torch.no_grad():
        return [rule.inverse(g, y), rule.gradient(g, y, y)]


def _plain_nearest(bank: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    return (queries @ bank.T).topk(NEIGHBOURS, dim=1)


def _shifted(shift: Moved | Constrained) -> list[Tensor]:
    return [shift.z_pos, shift.d]


def _plain_loss(h: Tensor, h_pos: Tensor) -> Tensor:
    unit, unit_pos = F.normalize(h, dim=1), F.normalize(h_pos, dim=1)
    return losses.info_nce(unit, unit_pos, None, TEMPERATURE, both=False).mean()


def _with_gradients(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    return [loss.detach(), *torch.autograd.grad(loss, inputs)]


def _microseconds(run: Run, device: torch.device) -> float:
    """The median time of as many runs as fit into `SECONDS`, each synchronised."""
    samples: list[float] = []
    end = time.monotonic() + SECONDS
    while not samples or time.monotonic() < end:
        begin = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        samples.append(1e6 * (time.perf_counter() - begin))
    return round(statistics.median(samples), 1)
