"""T_x against the alternatives: `python -m benchmarks.views [--threads 1|2] [--toy]`.

SimCLR Aug. of a batch with new random parameters in every call, forward and backward pass to the images. The peers
sample from the same distributions; kornia samples one order of the colour operations per batch, the others one per
image.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from benchmarks import timing
from benchmarks.report import VERDICTS, divided, head, measuring, options, progress, ratio_verdict, table, written
from copgen.views import augment, policy

Views = Callable[[Tensor], Tensor]
OURS, KORNIA, LOOP = "copgen", "kornia", "torchvision, image by image"
COMPILED = ", torch.compile"
TARGETS = (  # on CUDA, the target, the peer, our method, the least ratio
    (False, f"CPU: >= 1.5x {KORNIA}", KORNIA, OURS, 1.5),
    (False, f"CPU: >= 4.0x {LOOP}", LOOP, OURS, 4.0),
    (True, "GPU: >= 5x compiled kornia", KORNIA + COMPILED, OURS + COMPILED, 5.0),
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def copgen_views(device: torch.device, *, compiled: bool = False) -> Views:
    """The library's simclr policy, sampling included; the row numbers advance as in a run."""
    numbers, visits = policy("simclr"), count()

    def whole(images: Tensor, rows: Tensor) -> Tensor:
        return augment(images, numbers, seed=0, rows=rows, stream="views/anchor")

    call: Any = torch.compile(whole, fullgraph=True, dynamic=False) if compiled else whole

    def views(images: Tensor) -> Tensor:
        n = len(images)
        result: Tensor = call(images, torch.arange(n, device=device) + n * next(visits))
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


def torchvision_transform(size: int, *, antialias: bool) -> Any:
    """torchvision's transforms of an image in [0, 1], as in the authors' code."""
    T: Any = importlib.import_module("torchvision.transforms")
    return T.Compose(
        [
            T.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=antialias),
            T.RandomHorizontalFlip(),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.Normalize(MEAN, STD),
        ]
    )


def torchvision_views(size: int) -> Views:
    """torchvision's transforms on each image."""
    transform = torchvision_transform(size, antialias=True)
    return lambda images: torch.stack([transform(image) for image in (images + 1) / 2])


def methods(device: torch.device, size: int, *, compiled: bool) -> dict[str, Callable[[], Views]]:
    """The methods by name."""
    table: dict[str, Callable[[], Views]] = {
        OURS: lambda: copgen_views(device),
        KORNIA: lambda: kornia_views(device, size),
        LOOP: lambda: torchvision_views(size),
    }
    if compiled:
        table[OURS + COMPILED] = lambda: copgen_views(device, compiled=True)
        table[KORNIA + COMPILED] = lambda: torch.compile(kornia_views(device, size))
    return table


def forward_and_backward(views: Views, images: Tensor, gradient: Tensor) -> Tensor:
    """The timed function."""
    return torch.autograd.grad(views(images), images, gradient)[0]


def report(device: torch.device, *, toy: bool, compiled: bool) -> Iterable[str]:
    """The whole benchmark as markdown."""
    batch, size = (4, 16) if toy else (64, 128)
    torch.manual_seed(0)
    images = (2 * torch.rand(batch, 3, size, size, device=device) - 1).requires_grad_()
    gradient = torch.randn(batch, 3, size, size, device=device)

    def built(name: str, build: Callable[[], Views]) -> timing.Call:
        progress(name)
        return functools.partial(forward_and_backward, build(), images, gradient)

    found = methods(device, size, compiled=compiled and not toy)
    builds = {name: functools.partial(built, name, build) for name, build in found.items()}
    calls, troubles = timing.warmed_up(builds, 1 if toy else 3)
    times = timing.interleaved(calls, device, rounds=(7, 41), seconds=30.0, toy=toy)
    machine = timing.machine(device, ("torchvision", "kornia"))
    yield from head("T_x: SimCLR Aug., forward and backward", machine, toy=toy)
    yield (
        f"Batch {batch}, {size} px, float32. Milliseconds: median and 10th to 90th percentile of interleaved rounds; "
        "ratio: to copgen's eager row."
    )
    yield ""
    rows = [(name, *t.cells, t.rounds, f"{t.median / times[OURS].median:.2f}") for name, t in times.items()]
    refused = [(name, trouble, None, None, None) for name, trouble in troubles.items()]
    yield from table(("method", "median ms", "p10-p90", "rounds", "ratio"), [*rows, *refused])
    yield from targets({} if toy else times, cuda=device.type == "cuda")


def targets(times: dict[str, timing.Timing], *, cuda: bool) -> list[str]:
    """The targets and whether they were met; a target without a measurement is never met."""
    medians = {name: t.median for name, t in times.items()}
    rows = []
    for on_cuda, what, peer, ours, least in TARGETS:
        ratio = divided(medians.get(peer), medians.get(ours)) if on_cuda == cuda else None
        rows.append(ratio_verdict(what, ratio, least))
    return table(VERDICTS, rows)


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = options(__doc__)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on the CPU")
    parser.add_argument("--eager", action="store_true", help="nothing compiled")
    chosen = parser.parse_args(arguments)
    with measuring(threads=chosen.threads):
        return written(report(chosen.device, toy=chosen.toy, compiled=not chosen.eager), chosen.out)


if __name__ == "__main__":
    main()
