"""What all benchmarks share around their measurements: options, the head of a report, tables, verdicts, the file."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

MIB = 2**20
HERE = "cuda" if torch.cuda.is_available() else "cpu"
VERDICTS = ("target", "reached", "verdict")
Asked = Mapping[str, tuple[str, str]]  # what is measured and what is asked of it, by key


def options(doc: str | None, *, device: bool = True) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if device:
        parser.add_argument("--device", type=_device, default=HERE, metavar="cpu|cuda", help=f"here: {HERE}")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, in seconds; tests the benchmark")
    parser.add_argument("--out", type=Path, help="a file for the report; it is printed in any case")
    return parser


def _device(name: str) -> torch.device:
    if name == "cuda" and HERE != "cuda":
        raise argparse.ArgumentTypeError("no CUDA device found")
    return torch.device(name)


def written(lines: Iterable[str], out: Path | None) -> str:
    """Print the report, write it to the file, and return it."""
    text = "\n".join(lines).rstrip("\n") + "\n"
    sys.stdout.write(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, "utf-8")
    return text


def progress(text: str) -> None:
    """What is measured now, on the terminal."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def measuring(*, threads: int | None) -> Iterator[None]:
    """With this number of threads of torch, if one is given, and without the warnings of what is compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(before)


def head(title: str, machine: str, *, toy: bool = False) -> list[str]:
    """The title, the machine, and a warning if it is a toy run."""
    lines = [f"# {title}", "", f"Measured on: {machine}.", ""]
    return [*lines, "A toy run to test the benchmark; its numbers are meaningless.", ""] if toy else lines


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A markdown table and an empty line; None is "-"."""
    lines = [tuple(columns), *rows]
    texts = [f"| {' | '.join('-' if cell is None else str(cell) for cell in line)} |" for line in lines]
    return [texts[0], "|" + "---|" * len(columns), *texts[1:], ""]


def verdict(target: str, reached: str | None, *, met: bool) -> tuple[str, str, str]:
    """A row of targets; one without a measurement is never met."""
    return (target, "-", "not measured") if reached is None else (target, reached, "met" if met else "missed")


def ratio_verdict(target: str, ratio: float | None, least: float) -> tuple[str, str, str]:
    """The same for a ratio that should be at least this."""
    return verdict(target, None if ratio is None else f"{ratio:.2f}x", met=ratio is not None and ratio >= least)


def asked_and_measured(asked: Asked, measured: Mapping[str, float | None]) -> list[str]:
    """The table of what was asked and what was measured."""
    found = {key: measured.get(key) for key in asked}
    rows = [(*asked[key], "not measured" if value is None else f"{value:.3g}") for key, value in found.items()]
    return table(("what", "asked", "measured"), rows)


def divided(a: float | None, b: float | None) -> float | None:
    """a / b, if both were measured."""
    return a / b if a and b else None


def mib(size: float | None, digits: int = 1) -> str | None:
    """Bytes in MiB."""
    return None if size is None else f"{size / MIB:,.{digits}f}"


def milliseconds(value: float) -> str:
    """Three digits of a time."""
    return f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:.0f}"
