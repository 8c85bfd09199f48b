"""What the tests of sample share: a navigator, and settings that name it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from copgen import generators
from copgen.latents import Prior
from copgen.latents.navigator import new_navigator, save_navigator
from copgen.stages.sample.settings import SampleSettings


@pytest.fixture(scope="module")
def navigator(flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, with a dot in its name, that holds a navigator for the flow."""
    folder = tmp_path_factory.mktemp("runs") / "navigate-0.2"
    G = generators.load("digits", weights=flow)
    made_by = {"generator": "digits", "weights_sha256": G.weights_sha256}
    save_navigator(folder / "navigator.safetensors", new_navigator(64, prior=Prior(), seed=0), made_by=made_by)
    return folder


@pytest.fixture
def settings(flow: Path, navigator: Path) -> Callable[..., SampleSettings]:
    def make(**changes: Any) -> SampleSettings:
        fields = {
            "generator": "digits",
            "weights": flow,
            "navigator": navigator,
            "n": 250,
            "batch": 64,
            "pairs_per_shard": 110,
            "std": 0.3,
            "device": "cpu",
        }
        return SampleSettings.model_validate({**fields, **changes})

    return make
