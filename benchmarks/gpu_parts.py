"""The parts of gpu_check, each in its own process: `python -m benchmarks.gpu_parts --device cuda --out DIR update`.

A part notes every result in OUT/NAME.md as soon as it has it, so that one that is killed leaves what it measured.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import contrastive, contrastive_peers, generators_weights, navigate_steps, navigator, sampling_parts
from benchmarks import contrastive_targets as targets
from benchmarks import navigator_methods as methods
from benchmarks.gpu_check import ROOT
from benchmarks.report import measuring, table
from benchmarks.timing import interleaved, machine, trouble
from copgen import objectives, views
from copgen.runtime.dispatch import choose
from copgen.stages.navigate.players import Game
from copgen.training.metrics import read_metrics

TESTS = (
    "tests/kernels",
    "tests/latents/operations",
    "tests/runtime/test_native.py",
    "tests/doctor/test_machine_report.py",
    "tests/stages/sample/test_cuda.py",
    "tests/stages/pretrain/test_cuda.py",
)
TOY_TEST = "tests/kernels/test_launched.py"
OPERATORS = "tests/latents/operations"
BATCHES = (176, 1024)


class Notes:
    """The results of a part.

    Args:
        part: its name.
        device: where it runs.
        out: the folder of the results.
        toy: tiny sizes.
    """

    def __init__(self, part: str, device: torch.device, out: Path, *, toy: bool) -> None:
        self.device, self.out, self.toy = device, out, toy
        self._file = out / f"{part}.md"
        self.failed = False
        self.say(f"# {part}{' (toy)' if toy else ''}", "", machine(device), "")

    def say(self, *lines: str) -> None:
        """Add lines to the file and to the output."""
        with self._file.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
        print(*lines, sep="\n", flush=True)

    def attempt(self, what: str, call: Callable[[], object]) -> None:
        """Note what a call returns, or why it failed; the part continues."""
        try:
            found = call()
        except Exception as error:
            self.failed = True
            found = trouble(error)
        self.say(f"* {what}: {found}")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def run(self, *command: str, variables: dict[str, str] | None = None) -> int:
        """The exit code of a program, whose output is that of the part."""
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **(variables or {})}, check=False).returncode


def doctor(notes: Notes) -> None:
    """`copgen doctor`, with its self-tests."""
    notes.failed = notes.run(sys.executable, "-m", "copgen_cli", "doctor") != 0


def losses(notes: Notes) -> None:
    """The losses and their gradients in each dtype against float64."""
    shape = targets.Shape(96, 32) if notes.toy else targets.Shape(512, 128)
    dtypes = ("float32",) if notes.toy else ("float16", "bfloat16", "float32")
    functions: dict[contrastive_peers.Loss, contrastive_peers.Function] = {
        "first": contrastive_peers.copgen_first,
        "both": contrastive_peers.copgen_both,
    }
    for dtype in dtypes:
        for loss, function in functions.items():
            here = replace(shape, dtype=dtype)
            errors = functools.partial(contrastive.errors, function, loss, here, notes.device)
            notes.attempt(f"{here}, {loss}: relative errors of loss and gradient", errors)
        notes.attempt(f"{dtype}: sup_con", functools.partial(sup_con_error, notes.device, dtype))
        queue = functools.partial(queue_error, notes.device, dtype)
        notes.attempt(f"{dtype}: with a queue and a learnt temperature", queue)


def sup_con_error(device: torch.device, dtype: str, n: int = 64) -> float:
    """The relative error of SupCon against float64 on the CPU."""
    h = torch.randn(n, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(n) % 7
    exact = float(objectives.sup_con(h.double(), labels, temperature=0.1))
    found = objectives.sup_con(h.to(device, getattr(torch, dtype)), labels.to(device), temperature=0.1)
    return abs(float(found) / exact - 1.0)


def queue_error(device: torch.device, dtype: str, n: int = 64) -> float:
    """The relative error of the gradients with further negatives and a temperature that requires a gradient."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(n, 32, generator=generator) for _ in range(3)]

    def gradients(place: torch.device, kind: torch.dtype) -> Tensor:
        h, h_pos = (x.to(place, kind).requires_grad_() for x in drawn[:2])
        tau = torch.tensor(0.2, dtype=torch.float64 if kind == torch.float64 else torch.float32, device=place)
        tau.requires_grad_()
        loss = objectives.info_nce(h, h_pos, temperature=tau, negatives=drawn[2].to(place, kind))
        found = torch.autograd.grad(loss, (h, h_pos, tau))
        return torch.cat([gradient.flatten().double().cpu() for gradient in found])

    exact = gradients(torch.device("cpu"), torch.float64)
    return float((gradients(device, getattr(torch, dtype)) - exact).norm() / exact.norm())


def tests(notes: Notes) -> None:
    """The tests of the kernels and of what runs on CUDA, in parallel."""
    several = str(max(1, min(14, (os.cpu_count() or 2) - 2)))
    what = [TOY_TEST] if notes.toy else ["-n", several, *TESTS]
    notes.failed = notes.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rf", *what) != 0


def peers(notes: Notes) -> None:
    """The loss beside what others write or install."""
    shapes = [targets.Shape(k, 128, "float16") for k in (65536, 4096)]
    if notes.toy:
        shapes = [targets.Shape(32, 16)]
    plan = contrastive.Plan(notes.device, toy=notes.toy, seconds=8.0)
    for shape in shapes:
        notes.say(f"## {shape}", "", *contrastive.measure(plan, shape, {}))


def navigator_operator(notes: Notes) -> None:
    """z' = z + MLP(z) with its statistics: errors, and times beside csrc's kernel, eager and compiled PyTorch."""
    found, width = navigator.Found(), 8 if notes.toy else 120
    beside = methods.implementations(notes.device)
    notes.say(f"* runs: {choose('navigate', notes.device, torch.float32)}")
    for name, step in {methods.OURS: methods.ours, **beside}.items():
        error = functools.partial(methods.error, step, methods.Shape(300, width), notes.device)
        notes.attempt(f"{name}: relative error of d", error)
    for rows in (16,) if notes.toy else (65536, 4096, 256):
        for way in navigator.WAYS:
            shape, calls = methods.Shape(rows, width), methods.methods(compiled=not notes.toy) | beside
            lines = navigator.measure(found, shape, way, calls, notes.device, floor_ms=0.0, toy=notes.toy)
            notes.say(f"## {shape}, {way}", "", *table(("batch", "method", "ms", "p10-p90", "ratio", "floor"), lines))


def update(notes: Notes) -> None:
    """One update of navigate with BigBiGAN's shapes, and the time of G, T_x and f alone."""
    for batch in (2,) if notes.toy else BATCHES:
        with planned(notes, batch) as (plan, weights):
            step, game = navigate_steps.ours(plan, weights, navigate_steps.LAID_OUT)
            notes.attempt(f"batch {batch}, eager: ms of an update", functools.partial(timed, notes, step, 0))
            for name, call in shares(game, batch).items():
                notes.attempt(f"batch {batch}: ms of {name}", functools.partial(timed, notes, call))


def compiled(notes: Notes) -> None:
    """The same update, compiled."""
    if notes.toy:
        notes.say("* not at toy size: compiling takes a minute")
        return
    for batch in BATCHES:
        with planned(notes, batch) as (plan, weights):
            step = navigate_steps.ours(plan, weights, navigate_steps.COMPILED)[0]
            begin = time.monotonic()
            notes.attempt(f"batch {batch}, compiled: ms of an update", functools.partial(timed, notes, step, 0))
            notes.say(f"* seconds to compile and measure: {time.monotonic() - begin:.0f}")


def authors(notes: Notes) -> None:
    """The authors' step, with TF32 as they ran it and without."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (products.allow_tf32, convolutions.allow_tf32)
    try:
        for tf32 in (False, True):
            products.allow_tf32 = convolutions.allow_tf32 = tf32
            with planned(notes, 2 if notes.toy else BATCHES[0], "float32") as (plan, weights):
                step = navigate_steps.authors(plan, weights)
                what = f"batch {plan.batch}, the authors' step, TF32 {'on' if tf32 else 'off'}: ms of an update"
                notes.attempt(what, functools.partial(timed, notes, step, 0))
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


class planned:
    """A plan of navigate_steps, and BigBiGAN's weights file, random, in a temporary folder."""

    def __init__(self, notes: Notes, batch: int, precision: str = "bfloat16") -> None:
        narrow = 24 if notes.toy else 1
        precision = "float32" if notes.toy else precision
        self._plan = navigate_steps.Plan(notes.device, batch, 1, (), narrow, precision)
        self._narrow = narrow

    def __enter__(self) -> tuple[navigate_steps.Plan, Path]:
        self._folder = tempfile.TemporaryDirectory()
        return self._plan, generators_weights.write("bigbigan", Path(self._folder.name), narrow=self._narrow)

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def timed(notes: Notes, function: Callable[..., object], *arguments: object) -> str:
    """Median ms of a call, and its 10th to 90th percentile; at toy size that it ran."""
    call = functools.partial(function, *arguments)
    call()
    if notes.toy:
        return "ran"
    found = interleaved({"": call}, notes.device, rounds=(3, 30), seconds=4.0, toy=False)[""]
    return f"{found.cells[0]} ({found.cells[1]})"


def shares(game: Game, batch: int) -> dict[str, Callable[[], object]]:
    """G with its backward pass, T_x with its own, and f with loss and optimizers, alone."""
    G, T_x = game.G, views.policy(game.settings.views)
    z = torch.randn(batch, 120, device=game.device, dtype=game.dtype)
    with torch.no_grad():
        x, _ = game.paint(z, z, None)

    def generator() -> object:
        moved = z.clone().requires_grad_()
        _, x_pos = game.paint(z, moved, None)
        return torch.autograd.grad(x_pos, moved, torch.ones_like(x_pos))

    def augmentation() -> object:
        images = x.clone().requires_grad_()
        for stream in ("views/anchor", "views/positive"):
            v = views.augment(images, T_x, seed=0, rows=range(batch), stream=stream)
        return torch.autograd.grad(v, images, torch.ones_like(v))

    def encoder() -> object:
        v = x.detach().to(game.dtype).requires_grad_()
        return game.play(v, v, None)

    assert G is not None
    return {"G and its backward pass": generator, "T_x twice and its backward pass": augmentation, "f": encoder}


def sample(notes: Notes) -> None:
    """`copgen sample` of 20,000 pairs, beside G alone."""
    count, name = (64, "digits") if notes.toy else (20_000, "bigbigan")
    changes: dict[str, Any] = {"n": count, "device": notes.device.type, "batch": 32 if notes.toy else 500}
    if not notes.toy:
        changes |= {"precision": "bfloat16", "memory_format": "channels_last"}
    for format in ("jpg", "png"):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            settings = sampling_parts.settings_of(name, place, narrow=1, image_format=format, **changes)
            rates = functools.partial(sampling_parts.against_the_bare_forward, settings, place / "pairs")
            notes.attempt(f"{count:,} pairs, {format}: images/s of G alone and of sample", rates)


def command(notes: Notes) -> None:
    """60 updates of `copgen navigate`, stopped by a signal in the middle and resumed."""
    updates = 6 if notes.toy else 60
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = [sys.executable, "-m", "copgen_cli", "navigate", "--out", str(out), "--updates", str(updates)]
        words += ["--device", notes.device.type, "--checkpoint-every", "2min", "--quiet"]
        if notes.toy:
            words += ["--generator", "digits", "--batch", "8"]
        else:
            weights = generators_weights.write("bigbigan", Path(folder))
            words += ["--generator", "bigbigan", "--weights", str(weights), "--precision", "bf16"]
        begin = time.monotonic()
        process = subprocess.Popen(words, cwd=ROOT)
        while process.poll() is None and _updates(out) < updates // 3:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        stopped, before = process.wait(), _updates(out)
        notes.say(f"* stopped with exit code {stopped} after {before} updates, {time.monotonic() - begin:.1f} s")
        begin = time.monotonic()
        resumed = notes.run(*words)
        lines = read_metrics(out / "metrics.jsonl")
        notes.say(f"* resumed with exit code {resumed} to {len(lines)} updates, {time.monotonic() - begin:.1f} s")
        notes.failed = resumed != 0 or [line["update"] for line in lines] != list(range(1, updates + 1))


def _updates(out: Path) -> int:
    file = out / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def sanitizer(notes: Notes) -> None:
    """The operators' tests under compute-sanitizer."""
    if (tool := shutil.which("compute-sanitizer")) is None or notes.toy:
        notes.say("* compute-sanitizer is not there, or this is the rehearsal")
        return
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", OPERATORS, "-k", "cuda and not compiles"]
    notes.failed = notes.run(tool, "--error-exitcode", "1", *pytest) != 0


def pretrain(notes: Notes) -> None:
    """The benchmark of an update of pretraining."""
    toy = ["--toy"] if notes.toy else []
    line = [sys.executable, "-m", "benchmarks.pretrain_step", "--device", notes.device.type, *toy]
    notes.failed = notes.run(*line, "--out", str(notes.out / "pretrain-step.md")) != 0


PARTS: dict[str, Callable[[Notes], None]] = {
    "doctor": doctor,
    "losses": losses,
    "tests": tests,
    "peers": peers,
    "navigator": navigator_operator,
    "update": update,
    "compiled": compiled,
    "authors": authors,
    "sample": sample,
    "command": command,
    "sanitizer": sanitizer,
    "pretrain": pretrain,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a part; returns 1 if something in it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", type=torch.device, required=True)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("part", choices=PARTS)
    chosen = parser.parse_args(arguments)
    notes = Notes(chosen.part, chosen.device, chosen.out, toy=chosen.toy)
    with measuring(threads=None):
        PARTS[chosen.part](notes)
    return 1 if notes.failed else 0


if __name__ == "__main__":
    sys.exit(main())
