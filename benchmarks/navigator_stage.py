"""`copgen navigate` on digits end to end, with and without native operators: `python -m benchmarks.navigator_stage`.

Runs of the stage with the recipe's settings are interleaved, in separate processes; the seconds are those of the
updates, after a short warm-up run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from benchmarks import timing
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate

UPDATES, RUNS = 40, 5


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


def report(updates: int, runs: int) -> str:
    """Both, interleaved, as markdown."""
    taken: dict[str, list[float]] = {"1": [], "0": []}
    for index in range(runs):
        for value in list(taken)[:: -1 if index % 2 else 1]:
            line = [sys.executable, "-W", "ignore", "-m", "benchmarks.navigator_stage", "--child", str(updates)]
            environment = {**os.environ, "COPGEN_NATIVE": value}
            done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
            taken[value].append(float(done.stdout))
    native, plain = statistics.median(taken["1"]), statistics.median(taken["0"])
    threads = f"{torch.get_num_threads()} threads, wall clock"
    lines = [
        f"## `copgen navigate` on digits, {updates} updates end to end",
        "",
        f"Measured on: {timing.machine(torch.device('cpu'), (), threads)}.",
        "",
        "| operators | median s | least-most s | runs |",
        "|---|---|---|---|",
        *(
            f"| {name} | {statistics.median(taken[key]):.2f} | {min(taken[key]):.2f}-{max(taken[key]):.2f} | {runs} |"
            for name, key in (("native", "1"), ("reference (COPGEN_NATIVE=0)", "0"))
        ),
        "",
        f"Reference to native: {plain / native:.3f}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="benchmarks.navigator_stage", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    text = f"{seconds(chosen.child)}\n" if chosen.child else report(chosen.updates, chosen.runs)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
