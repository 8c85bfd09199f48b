"""`--dry-run`: estimate the cost of a run by running a few updates in a temporary folder."""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from copgen.runtime.errors import Stopped
from copgen.training.checkpoints import KEPT
from copgen.training.metrics import read_metrics


def rehearse_training(
    run: Callable[[Path], Any],
    *,
    updates: int,
    more: Mapping[str, int] | None = None,
    device: torch.device | None = None,
) -> dict[str, float]:
    """Time, memory and disk of a training run of `updates` updates.

    Args:
        run: runs a few updates into the given folder, `started` as a rehearsal: then each update is timed on CUDA too,
            where metrics are otherwise read together, and nothing is logged outside the folder.
        updates: of the whole run.
        more: path below the folder -> number of further files of that size that the whole run writes (snapshots,
            pictures).
        device: to measure the memory of this device and not that of the process.

    Returns:
        `seconds` and `disk_bytes` extrapolated from the metrics and files of the rehearsal, `memory_bytes` as its peak.

    Raises:
        Stopped: a signal arrived; nothing is kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(Path(folder))
        except Stopped as stopped:
            raise Stopped(
                "Stopped by a signal before the estimate was made.",
                fix="Run the same command again.",
                code=stopped.code,
            ) from None
        times = [line["seconds"] for line in read_metrics(Path(folder) / "metrics.jsonl")]
        metrics = (Path(folder) / "metrics.jsonl").stat().st_size / len(times)
        fixed = folder_bytes(Path(folder))
        if updates > len(times):
            checkpoints = [path.stat().st_size for path in (Path(folder) / "checkpoints").glob("*.safetensors")]
            fixed += KEPT * max(checkpoints) - sum(checkpoints)
        fixed += sum(count * (Path(folder) / path).stat().st_size for path, count in (more or {}).items())
    # The first update is slower, as it warms up caches; it counts only if there is no other.
    each = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else times[0]
    seconds = each * updates
    disk = fixed + metrics * (updates - len(times))
    on_device = device is not None and device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(device) if on_device else peak_memory()
    return {"seconds": seconds, "memory_bytes": peak, "disk_bytes": disk}


def folder_bytes(folder: Path) -> int:
    """Total size of all files below a folder, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def peak_memory() -> int:
    """Peak resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
