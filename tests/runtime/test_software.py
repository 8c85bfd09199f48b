"""Versions are those of what runs, though nothing is imported to find them."""

from __future__ import annotations

from importlib import metadata

import torch

import copgen
from copgen.runtime.software import torch_version, versions


def test_torch_says_the_same_of_itself() -> None:
    assert torch_version() == torch.__version__


def test_all_that_decides_numbers_is_there() -> None:
    found = versions()
    assert found.pop("copgen") == copgen.__version__
    assert found.pop("torch") == torch_version()
    assert found == {name: metadata.version(name) for name in found}
    assert {"torchvision", "numpy", "pillow", "safetensors"} <= found.keys()
