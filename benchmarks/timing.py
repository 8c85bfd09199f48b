"""Time and memory of functions to compare, and the machine they were measured on.

Time: the functions are interleaved in one run, so that slow phases of the machine affect all of them, with the order
reversed every other round. The median is reported with the 10th and the 90th percentile. On the CPU it is process CPU
time with one thread; on CUDA the time between two events, and the time of a captured graph's replay.

Memory: the peak above the level before the call, which includes the inputs. Gradients count as extra.
"""

from __future__ import annotations

import ctypes
import datetime
import functools
import gc
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

Call = Callable[[], object]
SHORTEST_SAMPLE_S = 5e-3  # calls shorter than this are repeated within a sample, far above the clocks' resolution
RESET_PEAK = "5"  # written to /proc/self/clear_refs, resets the peak (proc(5))


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call."""

    median: float
    low: float
    high: float
    rounds: int

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
    clock: Callable[[], float] = time.process_time,
) -> dict[str, Timing]:
    """The times of all calls, interleaved in one run.

    Args:
        calls: functions that have been warmed up.
        device: where they run.
        rounds: minimum and maximum number of rounds.
        seconds: approximate total time of the rounds, within those bounds.
        clock: the clock on the CPU; `time.perf_counter` for several threads.
    """
    sample = _sample_cuda if device.type == "cuda" else functools.partial(_sample_cpu, clock=clock)
    repeats, round_ms = {}, 0.0
    for name, call in calls.items():
        once_ms = min(sample(call, 1) for _ in range(2))
        repeats[name] = max(1, round(SHORTEST_SAMPLE_S * 1e3 / max(once_ms, 1e-3)))
        round_ms += once_ms * (repeats[name] + (device.type == "cuda"))
    count = min(max(round(seconds * 1e3 / max(round_ms, 1e-3)), rounds[0]), rounds[1])
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(count):
        for name in list(calls)[:: -1 if index % 2 else 1]:
            samples[name].append(sample(calls[name], repeats[name]))
    return {name: Timing.of(values) for name, values in samples.items()}


def _sample_cpu(call: Call, repeats: int, *, clock: Callable[[], float]) -> float:
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


def peak_memory_cuda(call: Call) -> int:
    """Bytes the call allocates at its peak above what is allocated now."""
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def peak_memory_cpu(call: Call) -> int | None:
    """Peak bytes of resident memory that the call adds; for a separate process. None if not on Linux.

    `ru_maxrss` does not work: it never falls, so the compiler's memory would hide the call's, and a child process
    inherits its parent's peak. Linux can reset the peak in /proc.
    """
    call()
    return peak_memory_once(call)


def peak_memory_once(call: Call) -> int | None:
    """The same for a call that has been warmed up, in any process."""
    reset = Path("/proc/self/clear_refs")
    gc.collect()
    if not reset.exists():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # memory cached by malloc from the first call would not be counted
    reset.write_text(RESET_PEAK)
    before = _status_bytes("VmRSS")
    call()
    return max(_status_bytes("VmHWM") - before, 0)


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def in_child(module: str, arguments: Sequence[str], timeout: float = 900.0) -> str | None:
    """The output of a Python module, run from the repository's root; None if it fails."""
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    root = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=timeout, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip()


def machine(device: torch.device, packages: Sequence[str] = (), how: str = "one thread, process CPU time") -> str:
    """The device, the versions and the date, in one line."""
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
