"""One thread for all tests: their tensors are so small that several threads only wait for each other.

Without a GPU the Triton kernels run in Triton's interpreter, on CPU tensors; it has to be told before it is imported.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import torch

from copgen.runtime.signals import EXIT_CODES

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    """A test that leaves handlers of signals behind is found, and not the one that it breaks later."""
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    yield
    after = {number: signal.getsignal(number) for number in EXIT_CODES}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before
