"""T_x against the alternatives: `python -m benchmarks.views [--threads 1|2] [--toy]`.

SimCLR Aug. of a batch with new random parameters in every call, forward and backward pass to the images. The peers
sample from the same distributions; kornia samples one order of the colour operations per batch, the others one per
image.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import timing
from copgen.views import augment, policy

Views = Callable[[Tensor], Tensor]
OURS, KORNIA, LOOP = "copgen", "kornia", "torchvision, image by image"
COMPILED = ", torch.compile"
TARGETS = ((KORNIA, 1.5), (LOOP, 4.0))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def copgen_views(device: torch.device) -> Views:
    """The library's simclr policy; the row numbers advance as in a run."""
    numbers, visits = policy("simclr"), count()

    def views(images: Tensor) -> Tensor:
        n = len(images)
        rows = torch.arange(n, device=device) + n * next(visits)
        return augment(images, numbers, seed=0, rows=rows, stream="views/anchor")

    return views


def copgen_compiled(device: torch.device) -> Views:
    """The same in one graph, including the sampling."""
    numbers, visits = policy("simclr"), count()

    def whole(images: Tensor, rows: Tensor) -> Tensor:
        return augment(images, numbers, seed=0, rows=rows, stream="views/anchor")

    compiled: Any = torch.compile(whole, fullgraph=True, dynamic=False)

    def views(images: Tensor) -> Tensor:
        n = len(images)
        result: Tensor = compiled(images, torch.arange(n, device=device) + n * next(visits))
        return result

    return views


def kornia_views(device: torch.device, size: int) -> Views:
    """kornia's equivalents, in one container."""
    K: Any = importlib.import_module("kornia.augmentation")
    sequence = K.AugmentationSequential(
        K.RandomResizedCrop((size, size), scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3)),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    ).to(device)

    def views(images: Tensor) -> Tensor:
        made: Tensor = sequence((images + 1) / 2)
        return made

    return views


def torchvision_views(size: int) -> Views:
    """torchvision's transforms on each image, as in the authors' code."""
    T: Any = importlib.import_module("torchvision.transforms")
    transform = T.Compose(
        [
            T.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True),
            T.RandomHorizontalFlip(),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.Normalize(MEAN, STD),
        ]
    )
    return lambda images: torch.stack([transform(image) for image in (images + 1) / 2])


def methods(device: torch.device, size: int, *, compiled: bool) -> dict[str, Callable[[], Views]]:
    """The methods by name."""
    table: dict[str, Callable[[], Views]] = {
        OURS: lambda: copgen_views(device),
        KORNIA: lambda: kornia_views(device, size),
        LOOP: lambda: torchvision_views(size),
    }
    if compiled:
        table[OURS + COMPILED] = lambda: copgen_compiled(device)
        table[KORNIA + COMPILED] = lambda: torch.compile(kornia_views(device, size))
    return table


def forward_and_backward(views: Views, images: Tensor, gradient: Tensor) -> Tensor:
    """The timed function."""
    return torch.autograd.grad(views(images), images, gradient)[0]


def report(device: torch.device, *, threads: int, toy: bool, compiled: bool) -> str:
    """The whole benchmark as markdown."""
    batch, size = (4, 16) if toy else (64, 128)
    torch.manual_seed(0)
    images = (2 * torch.rand(batch, 3, size, size, device=device) - 1).requires_grad_()
    gradient = torch.randn(batch, 3, size, size, device=device)
    calls: dict[str, timing.Call] = {}
    troubles: dict[str, str] = {}
    for name, build in methods(device, size, compiled=compiled and not toy).items():
        sys.stderr.write(f"{name}\n")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings of peers
                call = functools.partial(forward_and_backward, build(), images, gradient)
                for _ in range(1 if toy else 3):
                    call()
            calls[name] = call
        except ImportError as error:
            troubles[name] = f"not installed: {error.name}"
        except Exception as error:
            troubles[name] = f"failed: {type(error).__name__}"
    rounds, seconds = ((2, 2), 0.0) if toy else ((7, 41), 30.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clock = time.process_time if threads == 1 else time.perf_counter
        times = timing.interleaved(calls, device, rounds=rounds, seconds=seconds, clock=clock)
    how = "one thread, process CPU time" if threads == 1 else f"{threads} threads, wall clock"
    lines = [
        "# T_x: SimCLR Aug., forward and backward",
        "",
        f"Measured on: {timing.machine(device, ('torchvision', 'kornia'), how)}.",
        *(["", "A toy run to test the benchmark; its times are meaningless."] if toy else []),
        "",
        f"Batch {batch}, {size} px, float32. Milliseconds: median and 10th to 90th percentile of interleaved rounds; "
        "ratio: to copgen's eager row.",
        "",
        "| method | median ms | p10-p90 | rounds | ratio |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {t.median:.1f} | {t.low:.1f}-{t.high:.1f} | {t.rounds} | {t.median / times[OURS].median:.2f} |"
            for name, t in times.items()
        ),
        *(f"| {name} | {trouble} | - | - | - |" for name, trouble in troubles.items()),
        "",
        *targets(times, toy=toy, cuda=device.type == "cuda"),
    ]
    return "\n".join(lines) + "\n"


def targets(times: dict[str, timing.Timing], *, toy: bool, cuda: bool) -> list[str]:
    """The targets and whether they were met; a target without a measurement is never met."""
    lines = ["| target | reached | verdict |", "|---|---|---|"]
    for peer, least in TARGETS:
        ratio = None if toy or cuda or peer not in times else times[peer].median / times[OURS].median
        reached, verdict = ("-", "not measured") if ratio is None else (f"{ratio:.2f}x", _verdict(ratio, least))
        lines.append(f"| CPU: >= {least}x {peer} | {reached} | {verdict} |")
    theirs, ours = times.get(KORNIA + COMPILED), times.get(OURS + COMPILED)
    ratio = None if toy or not cuda or theirs is None or ours is None else theirs.median / ours.median
    reached, verdict = ("-", "not measured") if ratio is None else (f"{ratio:.2f}x", _verdict(ratio, 5.0))
    return [*lines, f"| GPU: >= 5x compiled kornia | {reached} | {verdict} |"]


def _verdict(ratio: float, least: float) -> str:
    return "met" if ratio >= least else "missed"


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = argparse.ArgumentParser(prog="benchmarks.views", description=(__doc__ or "").splitlines()[0])
    available = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=available, help=f"here: {available}")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on the CPU")
    parser.add_argument("--eager", action="store_true", help="nothing compiled")
    parser.add_argument("--toy", action="store_true", help="a tiny shape and two rounds, nothing compiled")
    parser.add_argument("--out", type=Path, help="a file for the report; it is printed in any case")
    chosen = parser.parse_args(arguments)
    before = torch.get_num_threads()
    torch.set_num_threads(chosen.threads)
    try:
        text = report(torch.device(chosen.device), threads=chosen.threads, toy=chosen.toy, compiled=not chosen.eager)
    finally:
        torch.set_num_threads(before)
    sys.stdout.write(text)
    if chosen.out is not None:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(text)
    return text


if __name__ == "__main__":
    main()
