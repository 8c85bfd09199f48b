"""A loader that makes the next batches in a thread of its own while the current one is trained on.

The batches of a run follow each other, so after [a, b) come the samples [b, 2b - a), and so on. On CUDA they are made
on a stream of their own.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch

from copgen.data.loaders.loader import Batch, Loader

AHEAD = 2


def _new_stream(device: torch.device) -> Any:
    make: Any = torch.cuda.Stream  # untyped in torch
    return make(device)


class _Made(NamedTuple):
    batch: Batch
    ready: torch.cuda.Event | None


class Prefetched:
    """Batches of another loader, made up to `ahead` of them in advance.

    Args:
        loader: makes the batches; it is used by one thread.
        device: where they are made.
        stride: from the first sample of a batch to that of the next one, over all ranks.
        end: the first sample after the run; batches beyond it are not made.
        ahead: how many are made in advance.
    """

    def __init__(self, loader: Loader, device: torch.device, *, stride: int, end: int, ahead: int = AHEAD) -> None:
        self.loader, self.device, self.stride, self.end, self.ahead = loader, device, stride, end, ahead
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._stream: Any = _new_stream(device) if device.type == "cuda" else None
        self._coming: deque[tuple[range, Future[_Made]]] = deque()

    def __getitem__(self, samples: range) -> Batch:
        """The batch of these samples."""
        while self._coming and self._coming[0][0] != samples:
            self._coming.popleft()[1].cancel()
        if not self._coming:
            self._coming.append((samples, self._thread.submit(self._make, samples)))
        while len(self._coming) <= self.ahead:
            last = self._coming[-1][0]
            following = range(last.start + self.stride, last.stop + self.stride)
            if following.stop > self.end:
                break
            self._coming.append((following, self._thread.submit(self._make, following)))
        made = self._coming.popleft()[1].result()
        if made.ready is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_event(made.ready)
            for tensor in (*made.batch.views, *(() if made.batch.labels is None else (made.batch.labels,))):
                tensor.record_stream(here)
        return made.batch

    def stop(self) -> None:
        """End the thread and drop what it has made; the loader may then be used by another thread."""
        self._thread.shutdown(cancel_futures=True)
        self._coming.clear()

    def close(self) -> None:
        """End the thread, and the loader's workers."""
        self.stop()
        self.loader.close()

    def _make(self, samples: range) -> _Made:
        if self._stream is None:
            return _Made(self.loader[samples], None)
        with torch.cuda.device(self.device), torch.cuda.stream(self._stream):
            batch = self.loader[samples]
            return _Made(batch, self._stream.record_event())
