"""How fast pretraining gets its views: `python -m benchmarks.pretrain_input --out benchmarks/results/...md`.

SimCLR Aug. at 128 px of both images of each pair, from png and jpg, on two cores: copgen's loaders on a pairs folder
against the plain recipe on folders of files. A round is an epoch of each, from an empty queue to the last batch. CPU
time is that of the process and its workers; unlike the views per second it hardly depends on what else the machine
does. Where it goes is told by the same loaders with fewer augmentations.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import pairwise
from multiprocessing import active_children
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import pretrain_input_plain as plain
from benchmarks import sampling_writer, timing
from benchmarks.report import VERDICTS, divided, head, measuring, options, progress, ratio_verdict, table, written
from benchmarks.sampling_writer import SIDE
from copgen import pairs
from copgen.data.loaders.choice import build_loader
from copgen.data.loaders.loader import LoaderConfig
from copgen.data.loaders.names import LoaderName
from copgen.data.loaders.prefetched import Prefetched
from copgen.data.pairs_folder import PairsFolder
from copgen.pairs.codecs import ImageFormat
from copgen.runtime.dispatch import choose
from copgen.views import Policy, policy

CORES, ROUNDS = 2, 7
PLAIN = "plain recipe"
LOADERS: tuple[LoaderName, ...] = ("torch", "dali", "torchvision")
PARTS = ("decode", "crop", "colour")  # cumulative: the policy with so many of them
TARGET = 2.0
CPU = torch.device("cpu")


class Sample(NamedTuple):
    """One epoch: views per second, and milliseconds of CPU time of each view."""

    rate: float
    cpu_ms: float


def policies() -> tuple[Policy, Policy, Policy]:
    """Only decoded and normalised; cropped and flipped too; and all of SimCLR Aug."""
    whole = policy("simclr", size=SIDE)
    cropped = policy("simclr-no-colour", size=SIDE)
    return policy("none", size=SIDE, normalise=whole.normalise.model_dump() if whole.normalise else {}), cropped, whole


def folders(folder: Path, format: ImageFormat, count: int) -> tuple[Path, Path]:
    """A pairs folder, and the same files in a folder for each pair."""
    made = sampling_writer.plan(format, count, -(-count // 2))
    shards = sampling_writer.given(made, range(made.shards), sampling_writer.images())
    made.save(folder / "pairs")
    sampling_writer.write(folder / "pairs", made, shards, encoders=1)
    pairs.finish(folder / "pairs", made)
    source = PairsFolder(folder / "pairs", seed=0)
    for item in range(count):
        place = folder / "files" / f"{item:06d}"
        place.mkdir(parents=True)
        for column, name in enumerate(("anchor", "neighbour")):
            (place / f"{name}.{format}").write_bytes(source.encoded(item, column))
    return folder / "pairs", folder / "files"


def ours(folder: Path, name: LoaderName, numbers: Policy, batch: int, stack: ExitStack) -> Callable[[], None]:
    """An epoch of a loader of copgen."""
    source = PairsFolder(folder, seed=0)
    config = LoaderConfig(source=source, policy=numbers, seed=0, count=2, device=CPU, workers=CORES)
    chosen = build_loader(name, config)
    loader = stack.enter_context(closing(chosen.loader))

    def epoch() -> None:
        ahead = Prefetched(loader, CPU, stride=batch, end=len(source))
        for start in range(0, len(source) - batch + 1, batch):
            ahead[range(start, start + batch)]

    return epoch


def authors(folder: Path, part: int, batch: int) -> Callable[[], None]:
    """An epoch of the plain recipe."""
    data = plain.NeighbourFolder(folder, plain.transform(SIDE, crop=part > 0, colour=part > 1))
    batches = plain.loader(data, batch=batch, workers=CORES)

    def epoch() -> None:
        for _ in batches:
            pass

    return epoch


@contextmanager
def epochs(format: ImageFormat, count: int, batch: int) -> Iterator[tuple[dict[str, timing.Call], dict[str, str]]]:
    """The epochs by method and last part, "torch/crop", warmed up; and why others cannot run."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        shards, files = folders(Path(scratch), format, count)
        builds: dict[str, Callable[[], timing.Call]] = {}
        for index, (part, numbers) in enumerate(zip(PARTS, policies(), strict=True)):
            builds[f"{PLAIN}/{part}"] = partial(authors, files, index, batch)
            for name in LOADERS if part == PARTS[-1] else LOADERS[:-1]:
                builds[f"{name}/{part}"] = partial(ours, shards, name, numbers, batch, stack)
        progress(f"{format}: {', '.join(builds)}")
        yield timing.warmed_up(builds, 1)


def cpu_seconds() -> float:
    """CPU time of this process and its living workers."""
    ticks = 0
    for child in active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def measured(calls: Mapping[str, timing.Call], views: int, rounds: int) -> dict[str, list[Sample]]:
    """The samples of every method and part, interleaved."""
    found: dict[str, list[Sample]] = {name: [] for name in calls}
    for _, name in timing.turns(calls, rounds):
        begin, cpu = time.perf_counter(), cpu_seconds()
        calls[name]()
        seconds = time.perf_counter() - begin
        found[name].append(Sample(views / seconds, 1000 * (cpu_seconds() - cpu) / views))
    return found


class Row(NamedTuple):
    """What was measured of a method: medians, the spread of the rate, and the CPU time of its parts."""

    rates: timing.Timing
    cpu_ms: float
    parts: tuple[float, ...]

    @staticmethod
    def of(method: str, found: Mapping[str, list[Sample]]) -> Row | None:
        """The row of a method, if it ran."""
        if f"{method}/{PARTS[-1]}" not in found:
            return None
        samples = [found[f"{method}/{part}"] for part in PARTS if f"{method}/{part}" in found]
        cpu = [statistics.median(sample.cpu_ms for sample in part) for part in samples]
        parts = (cpu[0], *(after - before for before, after in pairwise(cpu))) if len(cpu) == len(PARTS) else ()
        return Row(timing.Timing.of([sample.rate for sample in samples[-1]]), cpu[-1], parts)


def cells(method: str, rows: Mapping[str, Row | None], troubles: Mapping[str, str]) -> tuple[object, ...]:
    """A line of the table."""
    row, base = rows[method], rows[PLAIN]
    if row is None:
        return (method, troubles.get(f"{method}/{PARTS[-1]}"), *(None,) * 6)
    ratio = divided(row.rates.median, base.rates.median if base else None)
    parts = [f"{part:.2f}" for part in row.parts] or ["-"] * len(PARTS)
    spread = f"{row.rates.low:.0f}-{row.rates.high:.0f}"
    return (method, f"{row.rates.median:.0f}", spread, ratio and f"{ratio:.2f}x", f"{row.cpu_ms:.2f}", *parts)


def verdicts(format: str, rows: Mapping[str, Row | None]) -> Iterator[tuple[str, str, str]]:
    """The better of our two loaders against the plain recipe."""
    mine, base = [row for name in LOADERS[:2] if (row := rows[name])], rows[PLAIN]
    what = f"{format}: the better of torch and dali >= {TARGET:.0f}x the plain recipe"
    best = max((row.rates.median for row in mine), default=None)
    least = min((row.cpu_ms for row in mine), default=None)
    yield ratio_verdict(f"{what}, views/s", divided(best, base and base.rates.median), TARGET)
    yield ratio_verdict(f"{what}, CPU time", divided(base and base.cpu_ms, least), TARGET)


def report(*, toy: bool) -> Iterable[str]:
    """The whole benchmark as markdown."""
    batch, rounds = (2, 2) if toy else (32, ROUNDS)
    count = 4 if toy else 6 * batch
    machine = timing.machine(CPU, ("torchvision", "pillow", "nvidia-dali-cuda130"), f"{CORES} cores")
    yield from head("The input of pretraining: views from pairs", machine, toy=toy)
    yield (
        f"SimCLR Aug. of {SIDE} px pairs, batches of {batch}, {CORES} threads or processes. Views per second: median "
        "and 10th to 90th percentile of interleaved epochs. CPU time of a view in milliseconds: in all, and of its "
        "parts, which are differences between the loader with and without them; decoding includes reading, normalising "
        f"and collating. Views of the torch loader: {choose('views', CPU, torch.uint8).name}."
    )
    yield ""
    judged: list[tuple[str, str, str]] = []
    formats: tuple[ImageFormat, ...] = ("png",) if toy else ("png", "jpg")
    for format in formats:
        with epochs(format, count, batch) as (calls, troubles):
            found = measured(calls, 2 * count, rounds)
        rows = {method: Row.of(method, found) for method in (PLAIN, *LOADERS)}
        yield f"## {format}"
        yield ""
        columns = ("method", "views/s", "p10-p90", "ratio", "CPU ms", *PARTS)
        yield from table(columns, [cells(method, rows, troubles) for method in rows])
        judged += verdicts(format, dict.fromkeys(rows) if toy else rows)
    yield from table(VERDICTS, judged)


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    chosen = options(__doc__, device=False).parse_args(arguments)
    with measuring(threads=1):
        return written(report(toy=chosen.toy), chosen.out)


if __name__ == "__main__":
    main()
