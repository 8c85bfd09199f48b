"""Both implementations, where both are there, and the devices: the CPU, CUDA's kernels on the CPU, and the GPU."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator

import pytest
import torch

from copgen.runtime import dispatch, native
from tests.cuda_shim import library

KERNELS_ON_HOST = "kernels_on_host"
DEVICES = ("cpu", KERNELS_ON_HOST, pytest.param("cuda", marks=pytest.mark.gpu))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the reference where only the kernels differ."""

    def same_again(item: pytest.Item) -> bool:
        chosen = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        return chosen.get("implementation") == "reference" and chosen.get("device") == KERNELS_ON_HOST

    config.hook.pytest_deselected(items=[item for item in items if same_again(item)])
    items[:] = [item for item in items if not same_again(item)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The CPU, the CPU with the operators of csrc/cuda, and the GPU where there is one.

    The kernels' threads run in an order that the test's name decides, and memory that they do not write is NaN.
    """
    if request.param != KERNELS_ON_HOST:
        if request.param == "cuda" and not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")
        yield torch.device(request.param)
        return
    if library.missing():
        pytest.skip(library.missing())
    torch.use_deterministic_algorithms(True)
    with library.loaded().answering(seed=zlib.crc32(request.node.name.encode())):
        yield torch.device("cpu")
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def by_cuda(request: pytest.FixtureRequest, device: torch.device) -> bool:
    """Whether the kernels of csrc/cuda answer."""
    return device.type == "cuda" or request.node.callspec.params["device"] == KERNELS_ON_HOST


def csrc_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the Triton kernels out of the table."""
    monkeypatch.setitem(dispatch.TABLE, "navigate", dispatch.TABLE["constrain"])
    dispatch._choose.cache_clear()
    monkeypatch.setattr(dispatch, "_choose", dispatch._choose.__wrapped__)


@pytest.fixture
def built(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the native operators: skips without them."""
    csrc_alone(monkeypatch)
    library = native.native()
    if not library.usable or (device.type == "cuda" and not library.cuda):
        pytest.skip(f"no native operators: {library.reason}")
    importlib.import_module("copgen.latents.operations.operators")


@pytest.fixture(params=["native", "reference"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with each implementation."""
    if request.param == "reference":
        forced = native.Native(False, "the test forces the reference", forbidden=True)
        monkeypatch.setattr("copgen.runtime.dispatch.native", lambda: forced)
    elif not native.native().usable:
        pytest.skip(f"no native operators: {native.native().reason}")
    else:  # which are tested in tests/kernels
        csrc_alone(monkeypatch)
    return str(request.param)
