"""Pairs per second of the authors' procedure and of `copgen sample`, which write the same images."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from benchmarks import sampling_authors
from benchmarks.report import progress
from benchmarks.report import table as markdown
from copgen import pairs
from copgen.stages.sample import stage
from copgen.stages.sample.settings import SampleSettings

MEMORY = Path("/dev/shm")  # a file system in memory, on Linux
MANY = 100_000  # pairs for two workers, whose start takes as long as about 15,000 pairs
WORKERS = f"copgen --workers 2, {MANY:,} pairs"


def against_the_authors(
    settings: SampleSettings, *, batch: int, rounds: int, many: int | None = None
) -> dict[str, list[float]]:
    """Pairs per second of the authors' procedure in batches of `batch`, and of `sample`, in every round.

    With `many`, `sample` also writes that many pairs with two worker processes of one thread each.

    All write to memory. On a disk the results depend on what was deleted before: ext4 skips inodes that were freed in
    the last minutes, one by one, which made creating a file up to fourteen times as slow. The authors write one file
    per image.
    """
    G = settings.load_generator(torch.device("cpu"))
    source, _ = stage.open_source(settings)
    transform = source.positives.transforms[0]
    paint = sampling_authors.painter(G, settings.weights)

    def authors(out: Path) -> None:
        sampling_authors.write(out, G, paint, transform, pairs=settings.n, batch=batch, seed=settings.seed)

    def copgen(out: Path) -> None:
        stage.sample(settings, out=out)

    def workers(out: Path) -> None:
        stage.sample(settings.replaced(n=many, threads=1), out=out, workers=2)

    ways: dict[str, tuple[int, Callable[[Path], None]]] = {
        "authors": (settings.n, authors),
        "copgen": (settings.n, copgen),
        **({WORKERS: (many, workers)} if many else {}),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(rounds if rounds == 1 else rounds + 1):
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
            for name in list(ways)[:: -1 if index % 2 else 1]:
                count, call = ways[name]
                begin = time.perf_counter()
                call(Path(folder) / name)
                rate = count / (time.perf_counter() - begin)
                if index or rounds == 1:
                    found[name].append(rate)
                progress(f"{settings.generator}: {name} {rate:,.2f} pairs/s")
            if index == 0:
                refuse_other_images(Path(folder) / "authors", Path(folder) / "copgen", settings.seed)
    return found


def refuse_other_images(theirs: Path, ours: Path, seed: int) -> None:
    """Raise if the images differ by more than one grey level, which rounding errors of the networks can cause."""
    for pair in pairs.read(ours):
        for kind, image in (("anchor", pair.anchor), ("neighbor", pair.positive)):
            with Image.open(theirs / f"seed{seed:04d}_sample{pair.index:05d}_{kind}.png") as opened:
                written = np.asarray(opened).astype(int)
            mine = image.permute(1, 2, 0).numpy().squeeze(-1) if len(image) == 1 else image.permute(1, 2, 0).numpy()
            apart = int(np.abs(written - mine).max())
            if apart > 1:
                raise RuntimeError(f"pair {pair.index}: the {kind}s are {apart} grey levels apart")


def table(generator: str, count: int, batch: int, theirs: int, found: dict[str, list[float]]) -> list[str]:
    """Markdown of these rates."""
    note = "random weights" if generator == "bigbigan" else "its own weights"
    lines = [
        f"## {generator}",
        "",
        f"{count:,} pairs, {note}, float32, a navigator; batch {batch}, the authors' {theirs}. One process each.",
        "Measured in a running process: for the authors from a loaded generator, for copgen from settings; until all",
        "files are written, to an in-memory file system.",
        *(["The two workers have one thread each; starting their processes is included."] if WORKERS in found else []),
        "",
    ]
    base = median(found["authors"])
    rows = [(name, spread(rates, 2), f"{median(rates) / base:.2f}") for name, rates in found.items()]
    return [*lines, *markdown(("procedure", "pairs/s (lowest to highest)", "times as fast"), rows)]


def spread(rates: Sequence[float], digits: int) -> str:
    """The median of rates, and the lowest and highest."""
    middle, low, high = (f"{rate:,.{digits}f}" for rate in (median(rates), min(rates), max(rates)))
    return f"{middle} ({low} to {high})"
