"""Reproducible initialisation of modules that use torch's global generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from copgen.runtime.philox import stream_key


@contextmanager
def seeded(seed: int, stream: str) -> Iterator[None]:
    """Seed torch's CPU generator inside the block, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_key(seed, stream) >> 1)
        yield
