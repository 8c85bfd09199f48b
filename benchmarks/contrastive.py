"""InfoNCE against the alternatives: `python -m benchmarks.contrastive [--device cpu|cuda] [--toy]`.

Forward pass and backward pass to both inputs, from embeddings that are not normalised. Every method is first compared
with float64 at a small size, then timed at every shape, interleaved with the others. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import functools
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks import contrastive_interpreted as interpreted
from benchmarks import contrastive_peers as peers
from benchmarks import contrastive_targets as targets
from benchmarks import timing
from benchmarks.contrastive_peers import Function, Method
from benchmarks.contrastive_targets import Number, Shape

TEMPERATURE = 0.1
ACCURACY_SHAPE = Shape(96, 32)
TOY_SHAPE = Shape(32, 16)
PEER_PACKAGES = ("lightly", "pytorch-metric-learning", "inf-cl")


@dataclass(frozen=True)
class Plan:
    """The configuration of a run: the full benchmark, or a toy run to test it."""

    device: torch.device
    toy: bool

    @property
    def shapes(self) -> Sequence[Shape]:
        """The shapes to measure at."""
        if self.toy:
            return (replace(TOY_SHAPE, dtype=self.accuracy_dtype),)
        return targets.CUDA_SHAPES if self.device.type == "cuda" else targets.CPU_SHAPES

    @property
    def accuracy_dtype(self) -> str:
        """The dtype of the embeddings in the comparison with float64."""
        return "float16" if self.device.type == "cuda" else "float32"

    @property
    def rounds(self) -> tuple[int, int]:
        """The fewest and the most rounds of a shape."""
        return (2, 2) if self.toy else (9, 101)

    @property
    def seconds(self) -> float:
        """About how long the rounds of one shape may take."""
        return 0.0 if self.toy else 60.0

    def methods(self) -> list[Method]:
        """What is compared; the toy compiles nothing."""
        return peers.methods_on(self.device.type, compiled=not self.toy)


@dataclass(frozen=True)
class Row:
    """A method at a shape: its time, or the reason why there is none."""

    method: Method
    time: timing.Timing | None = None
    number: Number = targets.NOTHING
    trouble: str = ""


def report(plan: Plan) -> str:
    """The whole benchmark as markdown."""
    parts = ["# Contrastive loss: forward and backward", *_preamble(plan), "", *accuracy(plan), ""]
    numbers: dict[tuple[Shape, str], Number] = {}
    for shape in plan.shapes:
        _progress(f"{shape}")
        rows = measure(plan, shape)
        numbers |= {(shape, row.method.name): row.number for row in rows}
        parts += [f"## {shape}", "", *table(rows, cuda=plan.device.type == "cuda"), ""]
    if plan.toy and plan.device.type == "cpu" and interpreted.wanted():
        parts += [*interpreted_kernels(), ""]
    return "\n".join([*parts, "## Targets", "", *targets.lines(numbers)]) + "\n"


def _preamble(plan: Plan) -> Iterable[str]:
    yield ""
    yield f"Measured on: {timing.machine(plan.device, PEER_PACKAGES)}."
    yield ""
    if plan.toy:
        yield "A toy run to test the benchmark; its times are meaningless."
        yield ""
    yield (
        f"Random embeddings, not normalised, tau {TEMPERATURE}. Milliseconds: median and 10th to 90th percentile of "
        "interleaved rounds; ratio: theirs to ours for the same loss. Extra memory: the peak above the inputs, with "
        "gradients. Losses: first is Algorithm 1, both is symmetric NT-Xent, other is compared with first."
    )


def accuracy(plan: Plan) -> list[str]:
    """The errors of every method's loss and gradient relative to float64, as a markdown table."""
    shape = replace(ACCURACY_SHAPE, dtype=plan.accuracy_dtype)
    head = [
        f"## Against float64, {shape}",
        "",
        "| method | loss | loss error | gradient error | note |",
        "|---|---|---|---|---|",
    ]
    return [*head, *(_accuracy_line(method, shape, plan.device) for method in plan.methods())]


def _accuracy_line(method: Method, shape: Shape, device: torch.device) -> str:
    note = method.note
    errors = ["-", "-"]
    try:
        function = _built(method)
        if method.loss == "other":
            note = f"another loss, not compared; {note}"
        else:
            errors = [f"{error:.1e}" for error in _errors(function, method.loss, shape, device)]
    except Exception as error:
        note = _trouble(error)
    return f"| {method.name} | {method.loss} | {' | '.join(errors)} | {note} |"


def _errors(function: Function, loss: peers.Loss, shape: Shape, device: torch.device) -> tuple[float, float]:
    """Relative errors: of the loss, and of the gradients in the Euclidean norm."""
    h, h_pos = peers.embeddings(shape.k, shape.d, getattr(torch, shape.dtype), device)
    exact = [x.detach().double().requires_grad_() for x in (h, h_pos)]
    plain = peers.nt_xent if loss == "both" else peers.cross_entropy
    value, *gradients = peers.value_and_gradients(function, h, h_pos, TEMPERATURE)
    expected, *expected_gradients = peers.value_and_gradients(plain, exact[0], exact[1], TEMPERATURE)
    got, wanted = torch.cat(gradients).double(), torch.cat(expected_gradients)
    return abs(value.item() / expected.item() - 1.0), ((got - wanted).norm() / wanted.norm()).item()


def measure(plan: Plan, shape: Shape) -> list[Row]:
    """Every method at one shape."""
    torch.compiler.reset()  # compile each shape separately, not once with dynamic shapes
    h, h_pos = peers.embeddings(shape.k, shape.d, getattr(torch, shape.dtype), plan.device)
    calls: dict[str, Callable[[], object]] = {}
    troubles: dict[str, str] = {}
    for method in plan.methods():
        try:
            call = functools.partial(peers.value_and_gradients, _built(method), h, h_pos, TEMPERATURE)
            for _ in range(2):
                call()
            calls[method.name] = call
        except Exception as error:
            troubles[method.name] = _trouble(error)
        if plan.device.type == "cuda":
            torch.cuda.empty_cache()
    times = timing.interleaved(calls, plan.device, rounds=plan.rounds, seconds=plan.seconds)
    return [_row(plan, shape, method, calls, times, troubles) for method in plan.methods()]


def _row(
    plan: Plan,
    shape: Shape,
    method: Method,
    calls: dict[str, Callable[[], object]],
    times: dict[str, timing.Timing],
    troubles: dict[str, str],
) -> Row:
    if method.name not in calls:
        return Row(method, trouble=troubles[method.name])
    time, call = times[method.name], calls[method.name]
    if plan.device.type == "cuda":
        return Row(method, time, _number_cuda(call, time, plan))
    ours = method.name in peers.OURS.values()
    memory = _memory_cpu(method, shape) if ours or not plan.toy else None
    return Row(method, time, Number(ms=time.median, memory=memory))


def _number_cuda(call: Callable[[], object], time: timing.Timing, plan: Plan) -> Number:
    memory = timing.peak_memory_cuda(call)
    kernels = timing.kernel_launches(call)
    graph = timing.captured(call)
    graph_ms = None
    if graph is not None:
        replay = {"replay": graph.replay}
        graph_ms = timing.interleaved(replay, plan.device, rounds=plan.rounds, seconds=3.0)["replay"].median
        graph.reset()
    torch.cuda.empty_cache()
    return Number(time.median, graph_ms, kernels, memory)


def _memory_cpu(method: Method, shape: Shape) -> int | None:
    _progress(f"{shape}: memory of {method.name}")
    arguments = [method.name, str(shape.k), str(shape.d), shape.dtype, str(TEMPERATURE)]
    answer = timing.in_child("benchmarks.contrastive_memory", arguments)
    return int(answer) if answer is not None and answer.isdigit() else None


def _built(method: Method) -> Function:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # import warnings of peers
        return method.build()


def _trouble(error: Exception) -> str:
    if isinstance(error, peers.NotInstalledError):
        return f"not installed: {error}"
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return "out of memory"
    first_line = (str(error).splitlines() or [""])[0][:100].replace("|", "/")
    return f"failed: {type(error).__name__}: {first_line}"


def table(rows: Sequence[Row], *, cuda: bool) -> list[str]:
    """The rows as a markdown table."""
    columns = ["method", "loss", "median ms", "p10-p90", "ratio to ours", "extra peak memory MiB"]
    columns += ["graph-replayed ms", "kernels"] if cuda else []
    head = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    ours = {row.method.loss: row.time.median for row in rows if row.time and row.method.name in peers.OURS.values()}
    return [*head, *(_table_line(row, ours.get(_compared_with(row.method)), cuda=cuda) for row in rows)]


def _compared_with(method: Method) -> peers.Loss:
    return "both" if method.loss == "both" else "first"


def _table_line(row: Row, ours_ms: float | None, *, cuda: bool) -> str:
    cells = [row.trouble, "-", "-"]
    if row.time is not None:
        ratio = "-" if ours_ms is None else f"{row.time.median / ours_ms:.2f}"
        cells = [_digits(row.time.median), f"{_digits(row.time.low)}-{_digits(row.time.high)}", ratio]
    memory = row.number.memory
    cells.append("-" if memory is None else f"{memory / targets.MIB:.1f}")
    if cuda:
        cells.append("-" if row.number.graph_ms is None else _digits(row.number.graph_ms))
        cells.append("-" if row.number.kernels is None else str(row.number.kernels))
    return f"| {row.method.name} | {row.method.loss} | {' | '.join(cells)} |"


def _digits(value: float) -> str:
    return f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:.0f}"


def interpreted_kernels() -> list[str]:
    """The GPU benchmark's dtypes through Triton's interpreter at the toy's size."""
    head = [
        "## The CUDA kernels in Triton's interpreter",
        "",
        "| shape | loss error | gradient error |",
        "|---|---|---|",
    ]
    lines = []
    for dtype in sorted({shape.dtype for shape in targets.CUDA_SHAPES}):
        shape = replace(TOY_SHAPE, dtype=dtype)
        try:
            errors = _errors(interpreted.loss, "first", shape, torch.device("cpu"))
            cells = " | ".join(f"{error:.1e}" for error in errors)
        except Exception as error:
            cells = f"{_trouble(error)} | -"
        lines.append(f"| {shape} | {cells} |")
    return [*head, *lines]


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = argparse.ArgumentParser(prog="benchmarks.contrastive", description=(__doc__ or "").splitlines()[0])
    available = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=available, help=f"here: {available}")
    parser.add_argument("--toy", action="store_true", help="a tiny shape and two rounds, nothing compiled")
    parser.add_argument("--out", type=Path, help="a file for the report; it is printed in any case")
    chosen = parser.parse_args(arguments)
    if chosen.device == "cuda" and available != "cuda":
        parser.error("no CUDA device found")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        text = report(Plan(torch.device(chosen.device), chosen.toy))
    finally:
        torch.set_num_threads(threads)
    sys.stdout.write(text)
    if chosen.out is not None:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(text)
    return text


if __name__ == "__main__":
    main()
