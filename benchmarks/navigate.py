"""One update of `copgen navigate` against the authors': `python -m benchmarks.navigate [--device cpu|cuda] [--toy]`.

BigBiGAN with random weights, ResNet-18, SimCLR's T_x at 128 px. The steps take turns in one run; then each runs in a
process of its own for its memory, and ours once more with a clock between its parts. benchmarks/README.md says more.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import timing
from benchmarks.navigate_authors import AuthorsGenerator, AuthorsStep
from benchmarks.navigate_parts import PARTS, timed_parts
from copgen import views
from copgen.generators import biggan
from copgen.generators.biggan import BigGANConfig
from copgen.runtime import memory
from copgen.runtime.ranks import Ranks
from copgen.stages.game import Game
from copgen.stages.navigate import NavigateSettings, one_update

WIDTH, TOY_WIDTH = 96, 4
PAPER_SAMPLES, PAPER_BATCHES = 200_000, (176, 1024)
OURS: dict[str, dict[str, Any]] = {
    "simultaneous": {"update": "simultaneous"},
    "alternating": {"update": "alternating"},
    "simultaneous, channels_last": {"update": "simultaneous", "memory_format": "channels_last"},
    "simultaneous, memory save": {"update": "simultaneous", "memory": "save"},
    "simultaneous, channels_last, compiled": {
        "update": "simultaneous",
        "memory_format": "channels_last",
        "compile": "default",
    },
}
AUTHORS, LAID_OUT, COMPILED = "authors", "simultaneous, channels_last", "simultaneous, channels_last, compiled"
PARTED = ("simultaneous", "alternating")


@dataclass(frozen=True)
class Plan:
    """What a run measures, and at which size."""

    device: torch.device
    batch: int
    width: int
    rounds: int
    methods: Sequence[str]
    toy: bool
    precision: str = "float32"

    @property
    def config(self) -> BigGANConfig:
        """BigBiGAN's, at a width of 96 the published one."""
        return BigGANConfig(
            channels=tuple(self.width * unit for unit in (16, 16, 8, 4, 2, 1)),
            chunk=20,
            shared=128,
            classes=1000,
            attention=3,
            norm_eps=1e-4,
            spectral_eps=1e-4,
        )


def tensors(config: BigGANConfig) -> dict[str, torch.Tensor]:
    """Random weights under the published names; variances are positive."""
    draw = torch.Generator().manual_seed(0)
    found = {}
    for name, shape in biggan.shapes(config, class_width=config.shared).items():
        value = torch.randn(shape, generator=draw)
        if name.endswith("stored_var"):
            value = value.abs() + 0.5
        found[name] = torch.full(shape, 0.7) if name.endswith("gamma") else value
    return found


def weights_file(config: BigGANConfig, folder: Path) -> Path:
    """The tensors in a file as it was published."""
    path = folder / "BigBiGAN_x1.pth"
    if not path.exists():
        torch.save(tensors(config), path)
    return path


def ours(plan: Plan, weights: Path, name: str) -> tuple[Callable[[int], object], Game]:
    """Our step: call it with the number of the update."""
    settings = NavigateSettings.model_validate(
        {
            "generator": "bigbigan",
            "weights": weights,
            "samples": PAPER_SAMPLES,
            "batch": plan.batch,
            "anchors": "both",
            "loss_scale": 0.1 / 0.07,
            "precision": plan.precision,
            **OURS[name],
        }
    )
    G = settings.load_generator(plan.device)
    game = Game(settings, G, plan.device)
    T_x = views.policy(settings.views)

    def step(update: int) -> object:
        rows = range(update * plan.batch, (update + 1) * plan.batch)
        return one_update(settings, G, T_x, game, rows, ranks=Ranks())

    return step, game


def authors(plan: Plan) -> Callable[[int], object]:
    """The authors' step."""
    config = plan.config
    found = {name: tensor.to(plan.device) for name, tensor in tensors(config).items()}
    G = AuthorsGenerator(found, channels=config.channels, chunk=config.chunk, attention=config.attention)
    step = AuthorsStep(G, config.latent_dim, plan.device)
    return lambda update: step(torch.randn(plan.batch, config.latent_dim, device=plan.device).clamp(-2, 2))


def build(plan: Plan, weights: Path, name: str) -> Callable[[int], object]:
    """A step by name."""
    return authors(plan) if name == AUTHORS else ours(plan, weights, name)[0]


def times(plan: Plan, steps: Mapping[str, Callable[[int], object]]) -> dict[str, timing.Timing]:
    """Milliseconds of an update, the steps taking turns."""
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for name, step in steps.items():
        _progress(f"warm-up: {name}")
        step(0)
    for index in range(plan.rounds):
        for name in list(steps)[:: -1 if index % 2 else 1]:
            _synchronise(plan.device)
            begin = _clock(plan.device)
            steps[name](index + 1)
            _synchronise(plan.device)
            samples[name].append(1e3 * (_clock(plan.device) - begin))
            _progress(f"round {index + 1}: {name} {samples[name][-1]:,.0f} ms")
    return {name: timing.Timing.of(values) for name, values in samples.items()}


def peak(plan: Plan, weights: Path, name: str) -> int:
    """Bytes at the peak of an update, weights, gradients and moments included; for a process of its own."""
    if plan.device.type == "cuda":
        return memory.peak_of(lambda: build(plan, weights, name)(0), plan.device) or 0
    before = memory.resident()
    step = build(plan, weights, name)
    built = memory.resident() - before
    return built + (memory.peak_of(lambda: step(0), plan.device) or 0)


def peaks(plan: Plan) -> dict[str, int | None]:
    """The peaks of all steps, each in a process of its own."""
    found: dict[str, int | None] = {}
    for name in plan.methods:
        _progress(f"memory: {name}")
        arguments = ["--memory", name, "--device", str(plan.device), "--batch", str(plan.batch)]
        said = timing.in_child("benchmarks.navigate", [*arguments, "--width", str(plan.width)])
        found[name] = int(said) if said else None
    return found


def report(plan: Plan) -> str:
    """The whole benchmark as markdown."""
    with tempfile.TemporaryDirectory() as folder:
        weights = weights_file(plan.config, Path(folder))
        games = {name: ours(plan, weights, name) for name in plan.methods if name != AUTHORS}
        steps = {name: step for name, (step, _) in games.items()}
        if AUTHORS in plan.methods:
            steps = {AUTHORS: authors(plan), **steps}
        measured = times(plan, steps)
        parts = {name: timed_parts(games[name][1], steps[name]) for name in games if name in PARTED}
        games, steps = {}, {}
        found = peaks(plan)
        cuda = on_cuda(plan, weights) if plan.device.type == "cuda" else {}
    lines = [
        "# One update of navigate, against the authors'",
        "",
        f"Measured on: {timing.machine(plan.device, ['torchvision'])}.",
        "The authors' step: benchmarks/navigate_authors.py.",
        "",
    ]
    if plan.toy:
        lines += ["A toy run: it shows that the benchmark works, and its times say nothing.", ""]
    lines += [
        f"BigBiGAN of width {plan.width} (published: {WIDTH}), random weights; ResNet-18, SimCLR's T_x, 128 px; "
        f"batch {plan.batch}, {plan.precision}. Milliseconds: median and 10th to 90th percentile of interleaved "
        "rounds. Memory: the peak of an update, with weights, gradients and moments.",
        "",
        "| step | ms | 10th to 90th | times as fast | peak MiB | of the authors' |",
        "|---|---|---|---|---|---|",
    ]
    base, base_peak = measured.get(AUTHORS), found.get(AUTHORS)
    for name, t in measured.items():
        share = f"{found[name] / base_peak:.2f}" if found[name] and base_peak else "-"  # type: ignore[operator]
        ratio = f"{base.median / t.median:.2f}" if base else "-"
        mib = f"{found[name] / 2**20:,.0f}" if found[name] else "-"  # type: ignore[operator]
        lines.append(f"| {name} | {t.median:,.0f} | {t.low:,.0f} to {t.high:,.0f} | {ratio} | {mib} | {share} |")
    lines += ["", "## Where the time goes", "", f"| step | {' | '.join(PARTS)} |", "|---" * (1 + len(PARTS)) + "|"]
    for name, shares in parts.items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * shares[part]:.1f} %" for part in PARTS) + " |")
    lines += ["", "## Targets", "", *targets(measured, found, parts, cuda)]
    return "\n".join(lines) + "\n"


def targets(
    measured: Mapping[str, timing.Timing],
    found: Mapping[str, int | None],
    parts: Mapping[str, Mapping[str, float]],
    cuda: Mapping[str, float],
) -> list[str]:
    """What was asked, and what was found."""

    def ratio(name: str) -> float | None:
        return measured[AUTHORS].median / measured[name].median if {name, AUTHORS} <= measured.keys() else None

    best = max((r for name in measured if name != AUTHORS and (r := ratio(name))), default=None)
    ours_peak, theirs = found.get("simultaneous"), found.get(AUTHORS)
    share = ours_peak / theirs if ours_peak and theirs else None
    rest = max((p["rest"] for p in parts.values()), default=None)
    rows: list[tuple[str, str, float | None]] = [
        ("simultaneous, times the authors' speed", "at least 1.4", ratio("simultaneous")),
        ("alternating", "at least 1.3", ratio("alternating")),
        ("with memory layout", "-", ratio(LAID_OUT)),
        ("with memory layout and compilation", "aim 1.8", ratio(COMPILED)),
        ("the fastest", "aim 1.8", best),
        ("peak memory of an update, of the authors'", "at most 0.7", share),
        ("share of the time outside G, T_x, f and loss", "at most 0.03", rest),
        ("GPU, bf16, batch 176: samples a second", "-", cuda.get("rate 176")),
        ("GPU, bf16, batch 1,024: samples a second", "-", cuda.get("rate 1024")),
        ("GPU: times the authors' speed", "aim 15", cuda.get("ratio")),
        ("GPU: share of the matrix rate", "aim 0.35", cuda.get("share")),
        ("GPU: minutes for 200K samples", "-", cuda.get("minutes")),
    ]
    table = ["| what | asked | measured |", "|---|---|---|"]
    return table + [f"| {what} | {asked} | {'not measured' if x is None else f'{x:.3g}'} |" for what, asked, x in rows]


def on_cuda(plan: Plan, weights: Path) -> dict[str, float]:
    """The figures of a GPU: rates in bf16, the share of its matrix rate, and the authors' step beside."""
    found: dict[str, float] = {}
    for batch in PAPER_BATCHES:
        here = Plan(plan.device, batch, plan.width, plan.rounds, plan.methods, plan.toy, precision="bfloat16")
        step = ours(here, weights, LAID_OUT)[0]
        seconds = _seconds(step, plan)
        found[f"rate {batch}"] = batch / seconds
        with FlopCounterMode(display=False) as counter:
            step(1)
        found["share"] = counter.get_total_flops() / seconds / _matrix_rate(plan.device)
        found["minutes"] = PAPER_SAMPLES * seconds / batch / 60
    theirs = Plan(plan.device, PAPER_BATCHES[0], plan.width, plan.rounds, plan.methods, plan.toy)
    found["ratio"] = found[f"rate {PAPER_BATCHES[0]}"] / (PAPER_BATCHES[0] / _seconds(authors(theirs), plan))
    return found


def _seconds(step: Callable[[int], object], plan: Plan) -> float:
    step(0)
    samples = []
    for update in range(plan.rounds):
        _synchronise(plan.device)
        begin = time.perf_counter()
        step(update + 1)
        _synchronise(plan.device)
        samples.append(time.perf_counter() - begin)
    return sorted(samples)[len(samples) // 2]


def _matrix_rate(device: torch.device, n: int = 8192) -> float:
    """FLOPs a second of a bf16 matrix product."""
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    call = functools.partial(torch.matmul, a, b)
    call()
    _synchronise(device)
    begin = time.perf_counter()
    for _ in range(20):
        call()
    _synchronise(device)
    return 20 * 2 * n**3 / (time.perf_counter() - begin)


def _clock(device: torch.device) -> float:
    return time.perf_counter() if device.type == "cuda" else time.process_time()


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.navigate", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=int, default=WIDTH, help="channels of the last block")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=[AUTHORS, *OURS], choices=[AUTHORS, *OURS])
    parser.add_argument("--memory", metavar="STEP", help="only print the peak of this step, in bytes")
    parser.add_argument("--toy", action="store_true", help="a few seconds; shows that it works")
    parser.add_argument("--out", type=Path, help="a markdown file; printed by default")
    given = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    torch.set_num_threads(1)  # CPU time with one thread; several would be counted while they wait for each other
    plan = Plan(torch.device(given.device), given.batch, given.width, given.rounds, given.methods, given.toy)
    if given.toy:
        plan = Plan(plan.device, 2, TOY_WIDTH, 1, [AUTHORS, "simultaneous", "alternating"], True)
    if given.memory:
        with tempfile.TemporaryDirectory() as folder:
            print(peak(plan, weights_file(plan.config, Path(folder)), given.memory))
        return
    text = report(plan)
    if given.out:
        given.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main(sys.argv[1:])
