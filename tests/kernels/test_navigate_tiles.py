"""The navigator's kernels compile without spills and within shared memory, with every tile; needs no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
import triton

from copgen.kernels import aot, aot_navigate, navigate_tiles


@pytest.fixture(autouse=True)
def on_kernels() -> None:
    """Kernels are compiled here, and none is launched."""


def compiled(architecture: int) -> list[dict[str, Any]]:
    """The compiler's report, from a separate process, as an interpreted kernel cannot be compiled."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_DEFAULT_FP_FUSION"] = "1"  # Triton 3.9 warns where nobody has chosen
    line = [sys.executable, "-W", "error", "-m", "copgen.kernels.aot_navigate", str(architecture), "120", "120"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(answer) for answer in done.stdout.splitlines()]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "architecture", [80, 89, 90, *(pytest.param(other, marks=pytest.mark.soak) for other in (86, 100, 120))]
)
def test_every_tile_compiles_without_a_spill_and_onto_the_matrix_units(architecture: int) -> None:
    *entries, statistics = compiled(architecture)
    assert len(entries) == 2 * len(aot_navigate.tiles_of(architecture))
    assert statistics["report"]["stack"] == 0
    for entry in entries:
        report = entry["report"]
        assert report["stack"] == 0, entry
        assert report["shared"] <= aot.SHARED_MEMORY[architecture], entry
        assert report["matrix"] > 0, entry


def test_the_matrix_units_do_a_third_with_one_product() -> None:
    *entries, _ = compiled(80)
    for three, one in zip(entries[::2], entries[1::2], strict=True):
        assert three["report"]["matrix"] == 3 * one["report"]["matrix"]


@pytest.mark.parametrize(
    ("little", "architecture", "kind"),
    [(True, 80, "little memory"), (True, 100, "little memory"), (False, 80, "ampere"), (False, 90, "hopper")],
)
def test_a_device_has_the_largest_tile_that_leaves_no_processor_idle(
    little: bool, architecture: int, kind: navigate_tiles.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(navigate_tiles, "has_little_memory", lambda device: little)
    monkeypatch.setattr(navigate_tiles, "architecture_of", lambda device: architecture)
    monkeypatch.setattr(navigate_tiles, "processors", lambda device: 10)
    tiles = navigate_tiles.TILES[kind]
    assert [navigate_tiles.tile_for(torch.device("cuda"), 10 * tile.rows) for tile in tiles] == list(tiles)
    assert [navigate_tiles.tile_for(torch.device("cuda"), 10 * tile.rows - 1) for tile in tiles] == [
        *tiles[1:],
        tiles[-1],
    ]


@pytest.mark.parametrize(("version", "kind"), [("3.6.0", "ampere"), ("3.8.0", "blackwell"), ("3.10.1", "blackwell")])
def test_an_old_compiler_leaves_out_the_tensor_memory_of_blackwell(
    version: str, kind: navigate_tiles.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton, "__version__", version)
    assert navigate_tiles.kind_of(100, little_memory=False) == kind
    assert navigate_tiles.kind_of(90, little_memory=False) == "hopper"


@pytest.mark.parametrize(("width", "block"), [(1, 16), (16, 16), (17, 32), (120, 128), (128, 128)])
def test_blocks_fit_the_matrix_instructions(width: int, block: int) -> None:
    assert navigate_tiles.block_of(width) == block
