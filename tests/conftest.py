"""One thread for all tests: their tensors are so small that several threads only wait for each other.

Without a GPU the Triton kernels run in Triton's interpreter, on CPU tensors; it has to be told before it is imported.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from copgen.runtime.signals import EXIT_CODES

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")  # a busy machine is no failure


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    """A test that leaves handlers of signals behind is found, and not the one that it breaks later."""
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    yield
    after = {number: signal.getsignal(number) for number in EXIT_CODES}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


@pytest.fixture(autouse=True)
def _precision_stays() -> Iterator[None]:
    """A test that leaves another precision of matrix products behind is found, and not the one that it breaks later."""
    before = torch.get_float32_matmul_precision()
    yield
    after = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(before)
    assert after == before


@pytest.fixture(scope="session")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights file of a small untrained flow."""
    from tests.stages.small import write_flow  # not before the settings above

    return write_flow(tmp_path_factory.mktemp("generator") / "flow.safetensors")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which all temporary files are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder
