"""Both implementations, where both are there, and the devices."""

from __future__ import annotations

import importlib

import pytest
import torch

from copgen.runtime import native

DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and the GPU where there is one."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return torch.device(request.param)


@pytest.fixture
def built(device: torch.device) -> None:
    """For tests of the native operators: skips without them."""
    library = native.native()
    if not library.usable or (device.type == "cuda" and not library.cuda):
        pytest.skip(f"no native operators: {library.reason}")
    importlib.import_module("copgen.latents.operations.operators")


@pytest.fixture(params=["native", "reference"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with each implementation."""
    if request.param == "reference":
        forced = native.Native(False, "the test forces the reference")
        monkeypatch.setattr("copgen.runtime.dispatch.native", lambda: forced)
    elif not native.native().usable:
        pytest.skip(f"no native operators: {native.native().reason}")
    return str(request.param)
