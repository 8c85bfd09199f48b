"""`copgen navigate` on digits end to end, with and without native operators: `python -m benchmarks.navigator_stage`.

Runs of the stage with the recipe's settings are interleaved, in separate processes; the seconds are those of the
updates, after a short warm-up run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import timing
from benchmarks.report import head, table, written
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate


def seconds(updates: int) -> float:
    """The seconds of the given number of updates in this process."""
    recipe: dict[str, Any] = tomllib.loads(resources.files("copgen").joinpath("recipes/digits.toml").read_text())
    settings = NavigateSettings(**{**recipe["navigate"], "stop": "samples"})
    for count in (2, updates):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            navigate(settings.replaced(samples=count * settings.batch), out=Path(folder) / "run")
            took = time.perf_counter() - begin
    return took


def report(updates: int, runs: int) -> Iterable[str]:
    """Both, interleaved, as markdown."""
    ways = {"native": "1", "reference (COPGEN_NATIVE=0)": "0"}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _, name in timing.turns(ways, runs):
        line = [sys.executable, "-W", "ignore", "-m", "benchmarks.navigator_stage", "--child", str(updates)]
        environment = {**os.environ, "COPGEN_NATIVE": ways[name]}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
        taken[name].append(float(done.stdout))
    native, plain = map(median, taken.values())
    machine = timing.machine(timing.CPU, (), f"{torch.get_num_threads()} threads, wall clock")
    yield from head(f"`copgen navigate` on digits, {updates} updates end to end", machine)
    rows = [(name, f"{median(s):.2f}", f"{min(s):.2f}-{max(s):.2f}", runs) for name, s in taken.items()]
    yield from table(("operators", "median s", "least-most s", "runs"), rows)
    yield f"Reference to native: {plain / native:.3f}."


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="benchmarks.navigator_stage", description=__doc__)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    lines = [f"{seconds(chosen.child)}"] if chosen.child else report(chosen.updates, chosen.runs)
    written(lines, None)


if __name__ == "__main__":
    main()
