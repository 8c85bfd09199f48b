"""Cached gradients (Gao et al. 2021, "GradCache"): the exact gradient of a contrastive batch larger than memory.

    1. f passes all chunks without gradient; only the outputs (K, D) are kept;
    2. the loss of the whole batch gives the gradient of each output;
    3. f passes each chunk again, with gradient, and continues backward from the cached ones.

Only the activations of one chunk are in memory at a time; f passes twice. The gradient is that of the whole batch, but
for batch norms, whose statistics are those of a chunk. Their running statistics are updated once, in the second pass.
What passes another network without gradient, such as BYOL's target, passes it in the same chunks (`passed_in_chunks`).

Legend: K samples of this rank, C samples of a chunk, V views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Outputs = dict[str, Tensor]
Pass = Callable[[Sequence[Tensor]], tuple[Outputs, ...]]


class CachedPass:
    """Passes views through f by chunks; `outputs`, then the loss on them, then `backward`.

    Args:
        f: the trained module, possibly in DistributedDataParallel.
        through: passes views (C, ...) through it; the outputs of each view by name, (C, D).
        chunk: C.
    """

    def __init__(self, f: nn.Module, through: Pass, *, chunk: int) -> None:
        self.f, self.through, self.chunk = f, through, chunk
        self._chunks: list[tuple[Tensor, ...]] = []
        self._cached: tuple[Outputs, ...] = ()

    def outputs(self, views: Sequence[Tensor]) -> tuple[Outputs, ...]:
        """The outputs (K, D) of each view, which collect the gradients of the loss."""
        self._chunks = chunks_of(views, self.chunk)
        with torch.no_grad(), running_statistics_kept(self.f):
            self._cached = passed_in_chunks(self.through, self._chunks)
        for output in self._cached:
            for rows in output.values():
                rows.requires_grad_()
        return self._cached

    def backward(self, loss: Tensor) -> None:
        """The gradients of f's parameters; over ranks they are averaged in the last chunk."""
        torch.autograd.backward(loss)
        start = 0
        for number, chunk in enumerate(self._chunks):
            rows = slice(start, start + len(chunk[0]))
            start = rows.stop
            last = number == len(self._chunks) - 1
            with nullcontext() if last else _no_sync(self.f):
                passed = self.through(chunk)
                outputs, gradients = [], []
                for fresh, cached in zip(passed, self._cached, strict=True):
                    for name, output in fresh.items():
                        gradient = cached[name].grad
                        if gradient is not None:
                            outputs.append(output)
                            gradients.append(gradient[rows])
                torch.autograd.backward(outputs, gradients)
        self._chunks, self._cached = [], ()


def chunks_of(views: Sequence[Tensor], chunk: int) -> list[tuple[Tensor, ...]]:
    """The views (K, ...) in chunks of at most `chunk` samples, each with all views of its samples."""
    return list(zip(*(torch.split(view, chunk) for view in views), strict=True))


def passed_in_chunks(through: Pass, chunks: Sequence[Sequence[Tensor]]) -> tuple[Outputs, ...]:
    """The outputs of each view by name, (K, D), of chunks that pass one after the other."""
    passed = [through(chunk) for chunk in chunks]
    return tuple(
        {name: torch.cat([one[view][name] for one in passed]) for name in output}
        for view, output in enumerate(passed[0])
    )


@contextmanager
def running_statistics_kept(f: nn.Module) -> Iterator[None]:
    """Batch norms use the statistics of the batch, and leave the running ones as they are."""
    norms = [module for module in f.modules() if isinstance(module, _BatchNorm)]
    before = [
        (norm.momentum, None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone())
        for norm in norms
    ]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum = momentum
            if tracked is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(tracked)


def _no_sync(f: nn.Module) -> Any:
    """No averaging over ranks inside, if f averages at all."""
    no_sync: Any = getattr(f, "no_sync", nullcontext)
    return no_sync()
