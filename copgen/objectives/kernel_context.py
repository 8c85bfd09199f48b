"""What holds while a loss's kernels are launched, whatever the caller has set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from copgen.objectives.full_precision import full_precision


def kernel_context(device: torch.device) -> AbstractContextManager[None]:
    """No autocast, and the tensors' own GPU as the current device, on which Triton launches wherever they are."""
    return _on(device) if device.type == "cuda" else full_precision(device)


@contextlib.contextmanager
def _on(device: torch.device) -> Iterator[None]:
    with torch.cuda.device(device), full_precision(device):
        yield
