"""Copies between the CPU and a device that the calling thread does not wait for.

On CUDA, a copy from or to ordinary memory, and every value that Python reads, waits for all work that is queued on the
stream; until then nothing further is queued, and the GPU is idle when it ends. These copies go through pinned memory.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device | str | None) -> Tensor:
    """The values on a device (None: where they are)."""
    place = values.device if device is None else torch.device(device)
    if place.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(place, non_blocking=True)
    return values.to(place)


def to_host(values: Tensor) -> Tensor:
    """The values on the CPU, which may be read after `Arrival.wait`."""
    return values.to("cpu", non_blocking=True)  # PyTorch allocates pinned memory for a copy that nobody waits for


class Arrival:
    """The moment when everything that this thread has queued on a device so far is done; the CPU is always done.

    Args:
        device: that the copies come from.
    """

    def __init__(self, device: torch.device) -> None:
        self._event: torch.cuda.Event | None = None
        if device.type == "cuda":
            # Blocking: a thread that waits leaves its core to the others.
            self._event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(device))

    def wait(self) -> None:
        """Return when it has come, from any thread."""
        if self._event is not None:
            self._event.synchronize()
