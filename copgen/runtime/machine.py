"""The machine that a stage runs on: its devices by name, and the description in `environment.json`."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import copgen
from copgen.runtime.environment import cores, threads_are_set
from copgen.runtime.errors import EnvironmentFault, UsageError

_PACKAGES = ("torchvision", "numpy", "pillow", "scikit-learn", "safetensors")


def resolve_device(name: str) -> torch.device:
    """The device named 'auto' (CUDA if available, else the CPU), 'cpu', 'cuda' or 'cuda:N'.

    A GPU named by its number becomes the current one of this thread, so that what is allocated or launched without a
    device, here and in libraries, uses it. On any device, torch's CPU threads are limited to the container's cores.

    Raises:
        UsageError: not a device name.
        EnvironmentFault: no such device; there is no silent fallback.
    """
    limit_threads()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"'{name}' is not a device.", fix="Pass auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EnvironmentFault(
            f"Device '{name}' not found ({torch.cuda.device_count()} CUDA devices available).", fix="Use --device cpu."
        )
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"Device '{name}' is not supported.", fix="Pass auto, cpu, cuda or cuda:N.")
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def own_device(name: str, local: int) -> torch.device:
    """The device of process number `local` on this machine: 'auto' and 'cuda' distribute the processes over the GPUs.

    Errors as `resolve_device`.
    """
    device = resolve_device(name)
    if name in ("auto", "cuda") and device.type == "cuda" and torch.cuda.device_count() > 1:
        device = torch.device("cuda", local % torch.cuda.device_count())
        torch.cuda.set_device(device)
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; else PyTorch emulates them. True of unknown CPUs."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = _cpu_instructions()
    return not known or not known.isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))


def _cpu_instructions() -> frozenset[str]:
    """The instruction sets of the CPU as Linux names them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.split()) for line in lines if line.startswith(("flags", "Features"))), frozenset())


def limit_threads() -> None:
    """Let torch have no more CPU threads than this process may use cores, unless OMP_NUM_THREADS is set.

    torch starts as many as the machine has, or as its affinity allows; the kernel stops all threads of a container that
    have used up its share of a tenth of a second, and those that wait for them meanwhile use it up, too.
    """
    if not threads_are_set() and cores() < torch.get_num_threads():
        torch.set_num_threads(cores())


def threads_of_each(processes: int) -> int:
    """CPU threads of each of several processes: an equal share of this process's, or OMP_NUM_THREADS if set."""
    limit_threads()
    ours = torch.get_num_threads()
    return ours if threads_are_set() else max(1, ours // processes)


@contextmanager
def cpu_threads(number: int | None) -> Iterator[None]:
    """Set torch's number of CPU threads inside the context; None leaves it unchanged."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def versions() -> dict[str, str]:
    """Package -> version of the packages that determine the results; torch's includes the build ('2.14.1+cu130')."""
    return {
        "copgen": copgen.__version__,
        "torch": str(torch.__version__),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def describe(device: torch.device) -> dict[str, Any]:
    """The content of `environment.json`: no names of users or hosts, no environment variables."""
    return {
        "versions": versions(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
