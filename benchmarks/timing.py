"""Time and memory of functions to compare, and the machine they were measured on.

Time: the functions are interleaved in one run, so that slow phases of the machine affect all of them, with the order
reversed every other round. The median is reported with the 10th and the 90th percentile. On the CPU it is process CPU
time with one thread and wall clock with several; on CUDA the time between two events, and the time of a captured
graph's replay.

Memory: the peak above the level before the call, which includes the inputs. Gradients count as extra.
"""

from __future__ import annotations

import datetime
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from copgen.runtime import memory

Call = Callable[[], object]
SHORTEST_SAMPLE_S = 5e-3  # calls shorter than this are repeated within a sample, far above the clocks' resolution
CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parent.parent
# A child inherits its parent's peak memory, so it is started from a small process. Prints seconds and KiB.
LAUNCH = """
import os, subprocess, sys, time
begin = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - begin, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def cells(self) -> tuple[str, str]:
        """Median, and 10th to 90th percentile, with three digits."""
        return report.milliseconds(self.median), f"{report.milliseconds(self.low)}-{report.milliseconds(self.high)}"

    @staticmethod
    def of(samples_ms: Sequence[float]) -> Timing:
        """Median, 10th and 90th percentile of the samples."""
        ordered = sorted(samples_ms)
        last = len(ordered) - 1
        return Timing(statistics.median(ordered), ordered[round(0.1 * last)], ordered[round(0.9 * last)], len(ordered))


def interleaved(
    calls: Mapping[str, Call],
    device: torch.device,
    *,
    rounds: tuple[int, int],
    seconds: float,
    toy: bool = False,
) -> dict[str, Timing]:
    """The times of all calls, interleaved in one run.

    Args:
        calls: functions that have been warmed up.
        device: where they run.
        rounds: minimum and maximum number of rounds.
        seconds: approximate total time of the rounds, within those bounds.
        toy: two rounds, whatever they take.
    """
    sample = _sample_cuda if device.type == "cuda" else _sample_cpu
    repeats, round_ms = {}, 0.0
    for name, call in calls.items():
        once_ms = min(sample(call, 1) for _ in range(2))
        repeats[name] = max(1, round(SHORTEST_SAMPLE_S * 1e3 / max(once_ms, 1e-3)))
        round_ms += once_ms * (repeats[name] + (device.type == "cuda"))
    count = 2 if toy else min(max(round(seconds * 1e3 / max(round_ms, 1e-3)), rounds[0]), rounds[1])
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _, name in turns(calls, count):
        samples[name].append(sample(calls[name], repeats[name]))
    return {name: Timing.of(values) for name, values in samples.items()}


def turns(names: Iterable[str], rounds: int) -> Iterator[tuple[int, str]]:
    """The number of the round and a name, with the order reversed every other round."""
    for index in range(rounds):
        for name in list(names)[:: -1 if index % 2 else 1]:
            yield index, name


def warmed_up(builds: Mapping[str, Callable[[], Call]], times: int) -> tuple[dict[str, Call], dict[str, str]]:
    """The calls that can be built and called, and why the others cannot."""
    calls: dict[str, Call] = {}
    troubles: dict[str, str] = {}
    for name, build in builds.items():
        try:
            call = build()
            for _ in range(times):
                call()
            calls[name] = call
        except Exception as error:
            troubles[name] = trouble(error)
        torch.cuda.empty_cache()
    return calls, troubles


def trouble(error: Exception) -> str:
    """Why something could not be measured, in a few words."""
    if isinstance(error, ImportError):
        return f"not installed: needs {error.name or error}"
    if memory.is_out_of_memory(error):
        return "out of memory"
    first_line = (str(error).splitlines() or [""])[0][:100].replace("|", "/")
    return f"failed: {type(error).__name__}: {first_line}"


def clock() -> float:
    """Seconds: CPU time with one thread, which is independent of other processes; that of several excludes waiting."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def _sample_cpu(call: Call, repeats: int) -> float:
    begin = clock()
    for _ in range(repeats):
        call()
    return (clock() - begin) * 1e3 / repeats


def _sample_cuda(call: Call, repeats: int) -> float:
    call()  # brings the allocator into the state after this call
    event: Any = torch.cuda.Event  # untyped in torch
    begin, end = event(enable_timing=True), event(enable_timing=True)
    begin.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / repeats


def captured(call: Call, warm_up: int = 3) -> torch.cuda.CUDAGraph | None:
    """The call as a CUDA graph, or None if it cannot be captured."""
    new_stream: Any = torch.cuda.Stream  # untyped in torch
    stream = new_stream()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            for _ in range(warm_up):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
    except Exception:
        # Any exception on capture (a synchronisation, a transfer, out of memory) means that it cannot be captured.
        torch.cuda.synchronize()
        return None
    return graph


def kernel_launches(call: Call) -> int:
    """How many kernels one call launches on CUDA; copies and fills by the driver are not kernels."""
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profile:
        call()
        torch.cuda.synchronize()
    on_device = [event for event in profile.events() or () if event.device_type.name == "CUDA"]
    return sum(not event.name.startswith(("Memcpy", "Memset")) for event in on_device)


def in_child(function: Callable[..., object], *arguments: str | int | float, timeout: float = 900.0) -> int | None:
    """The number that a function of an imported module returns in a separate process; None if it fails or has none.

    A process of its own, because memory that another call has used, such as the compiler's, would hide the function's.
    """
    call = f"import {function.__module__} as module; print(module.{function.__name__}(*{arguments!r}))"
    command = [sys.executable, "-W", "ignore", "-c", call]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    said = done.stdout.strip()
    return int(said) if said.isdigit() else None


def launched(arguments: Sequence[str]) -> tuple[float, int]:
    """Seconds and peak bytes of a Python program."""
    command = [sys.executable, "-c", LAUNCH, sys.executable, *arguments]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return float(said[-2]), 1024 * int(said[-1])


def peak_memory_cpu(call: Call) -> int | None:
    """Bytes of resident memory that the call's second run adds at its peak; for a separate process."""
    call()
    return memory.peak_of(call, CPU)


def machine(device: torch.device, packages: Sequence[str] = (), how: str = "") -> str:
    """The device, the versions and the date, in one line."""
    count = torch.get_num_threads()
    how = how or ("one thread, process CPU time" if count == 1 else f"{count} threads, wall clock")
    where = _gpu(device) if device.type == "cuda" else f"{cpu_model()}, {how}"
    versions = [f"torch {torch.__version__}", *(f"{name} {_version(name)}" for name in ("triton", *packages))]
    return f"{where}; Python {platform.python_version()}, {', '.join(versions)}; {datetime.date.today().isoformat()}"


def cpu_model() -> str:
    """The name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or platform.machine()


def _gpu(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device)
    program = shutil.which("nvidia-smi")
    if program is None:
        return name
    fields = "power.draw,power.limit,clocks.sm,clocks.max.sm"
    query = [program, f"--query-gpu={fields}", "--format=csv,noheader", f"--id={device.index or 0}"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return f"{name} ({fields}: {answer.stdout.strip()})" if answer.returncode == 0 else name


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
