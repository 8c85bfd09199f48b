"""`make gpu-check`: what needs a GPU, in twelve minutes, in the order of its worth.

    python -m benchmarks.gpu_check                                # writes into .build/gpu-check/
    python -m benchmarks.gpu_check --toy --device cpu             # the rehearsal, at toy size
    python -m benchmarks.gpu_check --only losses update           # some parts

For a machine with torch and Triton on which nothing can be installed: packages that it lacks are taken from
.build/gpu-carry, which `make gpu-carry` fills elsewhere. Every part (gpu_parts.py) runs in a process of its own that is
killed at its limit, and writes its results as it measures them; summary.json is written after each. The native
operators are built beside the first parts, which do not use them. The exit code is 0 if all parts succeeded, 1 if not,
4 without a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT, CARRIED = ROOT / ".build" / "gpu-check", ROOT / ".build" / "gpu-carry"
TOTAL_S = 720.0
BUILD_S = 150.0
LEAST_S = 10.0  # with less time left a part is not begun
NO_GPU = 4


@dataclass(frozen=True)
class Part:
    """One part of the check.

    Attributes:
        name: of the part and of its results.
        seconds: its limit.
        built: whether it waits for the native operators.
    """

    name: str
    seconds: float
    built: bool = False


PARTS = (
    Part("doctor", 50),
    Part("losses", 45),
    Part("tests", 110),
    Part("peers", 90),
    Part("navigator", 50, built=True),
    Part("update", 80),
    Part("compiled", 110),
    Part("authors", 40),
    Part("sample", 60),
    Part("command", 85),
    # If time is left:
    Part("sanitizer", 60),
    Part("pretrain", 60),
)


def environment() -> dict[str, str]:
    """That of the parts: this checkout, before it what was carried, and the build's architecture."""
    path = [str(place) for place in (CARRIED, ROOT) if place.is_dir()]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def limited(command: Sequence[str], *, seconds: float, log: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Run a command, and kill it with all that it started after so many seconds; its output goes to `log`."""
    begin = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(variables), stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        return ended(process, begin=begin, seconds=seconds)


def ended(process: subprocess.Popen[bytes], *, begin: float, seconds: float) -> dict[str, Any]:
    """How a process ended, that began at `begin`."""
    try:
        code = process.wait(timeout=max(0.0, begin + seconds - time.monotonic()))
        how = "passed" if code == 0 else f"exit code {code}"
    except subprocess.TimeoutExpired:
        how = f"killed after {seconds:.0f} s"
    if process.poll() is None or how.startswith("killed"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return {"result": how, "seconds": round(time.monotonic() - begin, 1)}


class Build:
    """The native operators, built in place beside other parts; without nvcc they are built for the CPU."""

    def __init__(self, out: Path) -> None:
        variables = {**environment(), "COPGEN_BUILD_NATIVE": "1", "MAX_JOBS": str(os.cpu_count() or 1)}
        command = [sys.executable, "setup.py", "build_ext", "--inplace"]
        self._begin = time.monotonic()
        with (out / "build.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self) -> dict[str, Any]:
        """Its result; it is killed at its limit."""
        return ended(self._process, begin=self._begin, seconds=BUILD_S)


def check(
    parts: Sequence[Part], out: Path, *, command: Sequence[str], total: float = TOTAL_S, build: Build | None = None
) -> dict[str, Any]:
    """Run the parts within `total` seconds; returns what `summary.json` holds after each.

    Args:
        parts: in their order.
        out: the folder of the results.
        command: of a part, to which its name is appended.
        total: seconds for all.
        build: is waited for before the first part that needs it.
    """
    begin = time.monotonic()
    found: dict[str, Any] = {}

    def note(name: str, result: dict[str, Any]) -> None:
        found[name] = result
        (out / "summary.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        print(f"{name}: {result['result']} ({result['seconds']} s)", file=sys.stderr, flush=True)

    try:
        for part in parts:
            if build is not None and part.built:
                note("build", build.wait())
                build = None
            left = total - (time.monotonic() - begin)
            if left < min(LEAST_S, part.seconds):
                note(part.name, {"result": "not begun: no time is left", "seconds": 0.0})
                continue
            seconds = min(part.seconds, left)
            log = out / f"{part.name}.log"
            note(part.name, limited([*command, part.name], seconds=seconds, log=log, variables=environment()))
    finally:
        if build is not None:
            note("build", build.wait())
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--toy", action="store_true", help="tiny sizes: the rehearsal")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of the results")
    parser.add_argument("--only", nargs="+", metavar="PART", choices=[part.name for part in PARTS])
    parser.add_argument("--seconds", type=float, default=TOTAL_S, help=f"for all parts ({TOTAL_S:.0f})")
    parser.add_argument("--no-build", action="store_true", help="use the native operators as they are")
    chosen = parser.parse_args(arguments)
    if chosen.device == "cuda":
        import torch  # the orchestrator needs nothing else of it

        if not torch.cuda.is_available():
            sys.stderr.write(f"{sys.executable} finds no CUDA device (torch {torch.__version__}).\n")
            return NO_GPU
    parts = [part for part in PARTS if chosen.only is None or part.name in chosen.only]
    out: Path = chosen.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    toy = ["--toy"] if chosen.toy else []
    command = [sys.executable, "-m", "benchmarks.gpu_parts", "--device", chosen.device, *toy, "--out", str(out)]
    build = None if chosen.no_build or chosen.toy else Build(out)
    found = check(parts, out, command=command, total=chosen.seconds, build=build)
    failed = [name for name, result in found.items() if result["result"] != "passed"]
    sys.stderr.write(f"Not passed: {', '.join(failed)}; see {out}.\n" if failed else f"All passed; see {out}.\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
