"""The losses choose their own precision and ignore autocast."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turn off autocast, which would round embeddings, and logits up to 1 / tau, to half precision."""
    if not (torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)):
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield
