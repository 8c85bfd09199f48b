"""InfoNCE against the alternatives: `python -m benchmarks.contrastive [--device cpu|cuda] [--toy]`.

Forward pass and backward pass to both inputs, from embeddings that are not normalised. Every method is first compared
with float64 at a small size, then timed at every shape, interleaved with the others. See benchmarks/README.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from benchmarks import contrastive_interpreted as interpreted
from benchmarks import contrastive_peers as peers
from benchmarks import contrastive_targets as targets
from benchmarks import timing
from benchmarks.contrastive_peers import Function, Method
from benchmarks.contrastive_targets import NOTHING, Number, Shape
from benchmarks.report import head, measuring, mib, milliseconds, options, progress, table, written
from copgen.runtime import memory

TEMPERATURE = 0.1
ACCURACY_SHAPE = Shape(96, 32)
TOY_SHAPE = Shape(32, 16)
PEER_PACKAGES = ("lightly", "pytorch-metric-learning", "inf-cl")
ROUNDS = (9, 101)


@dataclass(frozen=True)
class Plan:
    """The configuration of a run: the full benchmark, or a toy run to test it."""

    device: torch.device
    toy: bool
    seconds: float = 60.0  # of each shape

    @property
    def cuda(self) -> bool:
        """Whether it runs on a GPU."""
        return self.device.type == "cuda"

    @property
    def accuracy_dtype(self) -> str:
        """The dtype of the embeddings in the comparison with float64."""
        return "float16" if self.cuda else "float32"

    @property
    def shapes(self) -> Sequence[Shape]:
        """The shapes to measure at."""
        if self.toy:
            return (replace(TOY_SHAPE, dtype=self.accuracy_dtype),)
        return targets.CUDA_SHAPES if self.cuda else targets.CPU_SHAPES

    @property
    def methods(self) -> list[Method]:
        """What is compared; the toy compiles nothing."""
        return peers.methods_on(self.device.type, compiled=not self.toy)


def report(plan: Plan) -> Iterable[str]:
    """The whole benchmark as markdown."""
    machine = timing.machine(plan.device, PEER_PACKAGES)
    yield from head("Contrastive loss: forward and backward", machine, toy=plan.toy)
    yield (
        f"Random embeddings, not normalised, tau {TEMPERATURE}. Milliseconds: median and 10th to 90th percentile of "
        "interleaved rounds; ratio: theirs to ours for the same loss. Extra memory: the peak above the inputs, with "
        "gradients. Losses: first is Algorithm 1, both is symmetric NT-Xent, other is compared with first."
    )
    shape = replace(ACCURACY_SHAPE, dtype=plan.accuracy_dtype)
    yield from ("", f"## Against float64, {shape}", "")
    rows = [_accuracy(method, shape, plan.device) for method in plan.methods]
    yield from table(("method", "loss", "loss error", "gradient error", "note"), rows)
    numbers: dict[tuple[Shape, str], Number] = {}
    for shape in plan.shapes:
        progress(f"{shape}")
        yield from (f"## {shape}", "", *measure(plan, shape, numbers))
    if plan.toy and not plan.cuda and interpreted.wanted():
        shapes = [replace(TOY_SHAPE, dtype=dtype) for dtype in sorted({shape.dtype for shape in targets.CUDA_SHAPES})]
        rows = [(shape, *_errors_or_trouble(lambda: interpreted.loss, "first", shape, timing.CPU)) for shape in shapes]
        yield from ("## The CUDA kernels in Triton's interpreter", "")
        yield from table(("shape", "loss error", "gradient error", "note"), rows)
    yield from ("## Targets", "", *targets.lines(numbers))


def _accuracy(method: Method, shape: Shape, device: torch.device) -> Sequence[object]:
    if method.loss == "other":
        return method.name, method.loss, None, None, f"another loss, not compared; {method.note}"
    *errors, trouble = _errors_or_trouble(method.build, method.loss, shape, device)
    return method.name, method.loss, *errors, trouble or method.note


def _errors_or_trouble(
    build: Callable[[], Function], loss: peers.Loss, shape: Shape, device: torch.device
) -> tuple[str | None, str | None, str]:
    """The errors of loss and gradient relative to float64, or why there are none."""
    try:
        loss_error, gradient_error = errors(build(), loss, shape, device)
    except Exception as error:
        return None, None, timing.trouble(error)
    return f"{loss_error:.1e}", f"{gradient_error:.1e}", ""


def errors(function: Function, loss: peers.Loss, shape: Shape, device: torch.device) -> tuple[float, float]:
    """Relative errors: of the loss, and of the gradients in the Euclidean norm."""
    h, h_pos = peers.embeddings(shape.k, shape.d, getattr(torch, shape.dtype), device)
    exact = [x.detach().double().requires_grad_() for x in (h, h_pos)]
    plain = peers.nt_xent if loss == "both" else peers.cross_entropy
    value, *gradients = peers.value_and_gradients(function, h, h_pos, TEMPERATURE)
    expected, *expected_gradients = peers.value_and_gradients(plain, exact[0], exact[1], TEMPERATURE)
    got, wanted = torch.cat(gradients).double(), torch.cat(expected_gradients)
    return abs(value.item() / expected.item() - 1.0), ((got - wanted).norm() / wanted.norm()).item()


def measure(plan: Plan, shape: Shape, numbers: dict[tuple[Shape, str], Number]) -> list[str]:
    """The table of every method at one shape; the measurements are added to `numbers`."""
    torch.compiler.reset()  # compile each shape separately, not once with dynamic shapes
    h, h_pos = peers.embeddings(shape.k, shape.d, getattr(torch, shape.dtype), plan.device)

    def built(method: Method) -> timing.Call:
        return functools.partial(peers.value_and_gradients, method.build(), h, h_pos, TEMPERATURE)

    calls, troubles = timing.warmed_up({m.name: functools.partial(built, m) for m in plan.methods}, 2)
    times = timing.interleaved(calls, plan.device, rounds=ROUNDS, seconds=plan.seconds, toy=plan.toy)
    here = {name: _number(plan, shape, name, call, times[name].median) for name, call in calls.items()}
    numbers.update({(shape, name): number for name, number in here.items()})
    rows: list[Sequence[object]] = []
    for method in plan.methods:
        number, time = here.get(method.name, NOTHING), times.get(method.name)
        ours = here.get(peers.OURS[method.loss], NOTHING).ms
        cells: Sequence[object] = (troubles.get(method.name), None, None)
        if time is not None:
            cells = (*time.cells, f"{time.median / ours:.2f}" if ours else None)
        cuda = (number.graph_ms and milliseconds(number.graph_ms), number.kernels) if plan.cuda else ()
        rows.append((method.name, method.loss, *cells, mib(number.memory), *cuda))
    columns = ("method", "loss", "median ms", "p10-p90", "ratio to ours", "extra peak memory MiB")
    return table((*columns, "graph-replayed ms", "kernels") if plan.cuda else columns, rows)


def _number(plan: Plan, shape: Shape, name: str, call: timing.Call, ms: float) -> Number:
    """The time, and the memory, which on CUDA comes with the kernels and the replay of a graph."""
    if not plan.cuda:
        if plan.toy and name not in peers.OURS.values():
            return Number(ms)
        progress(f"{shape}: memory of {name}")
        extra = timing.in_child(peers.extra_memory, name, shape.k, shape.d, shape.dtype, TEMPERATURE)
        return Number(ms, memory=extra)
    extra, kernels, graph = memory.peak_of(call, plan.device), timing.kernel_launches(call), timing.captured(call)
    graph_ms = None
    if graph is not None:
        replay = {"": graph.replay}
        graph_ms = timing.interleaved(replay, plan.device, rounds=ROUNDS, seconds=3.0, toy=plan.toy)[""].median
        graph.reset()
    torch.cuda.empty_cache()
    return Number(ms, graph_ms, kernels, extra)


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    chosen = options(__doc__).parse_args(arguments)
    with measuring(threads=1):
        return written(report(Plan(chosen.device, chosen.toy)), chosen.out)


if __name__ == "__main__":
    main()
