"""Every entry of the table of tiles compiles without spills and within shared memory; needs no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from copgen.kernels import aot, tile_table


@pytest.fixture(autouse=True)
def on_kernels() -> None:
    """Kernels are compiled here, and none is launched."""


KERNELS = ("sums", "gradients", "weights", "label_sums", "label_gradients", "label_weights")


def compiled(architecture: int, *what: str) -> list[dict[str, Any]]:
    """The compiler's report, from a separate process, as an interpreted kernel cannot be compiled."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_DEFAULT_FP_FUSION"] = "1"  # Triton 3.9 warns where nobody has chosen
    line = [sys.executable, "-W", "error", "-m", "copgen.kernels.aot", str(architecture), *what]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(answer) for answer in done.stdout.splitlines()]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("architecture", tile_table.ARCHITECTURES)
def test_every_entry_compiles_without_a_spill_and_onto_the_matrix_units(architecture: int) -> None:
    entries = compiled(architecture)
    wanted = Counter(key.kernel for key in tile_table.TABLE if key.architecture == architecture)
    assert Counter(entry["key"]["kernel"] for entry in entries) == wanted
    assert {*wanted} == {*KERNELS}
    for entry in entries:
        report = entry["report"]
        assert report["stack"] == 0, entry
        assert report["shared"] <= aot.SHARED_MEMORY[architecture], entry
        assert report["matrix"] > 0, entry


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "architecture",
    [89, pytest.param(86, marks=pytest.mark.soak), pytest.param(120, marks=pytest.mark.soak)],
)
def test_consumer_gpus_have_the_shared_memory_for_their_tiles(architecture: int) -> None:
    entries = compiled(architecture)
    wanted = Counter(key.kernel for key in tile_table.TABLE if key.architecture == 80 and key.few)
    assert Counter(entry["key"]["kernel"] for entry in entries) == wanted
    for entry in entries:
        assert entry["report"]["shared"] <= aot.SHARED_MEMORY[architecture], entry


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("architecture", [90, *(pytest.param(other, marks=pytest.mark.soak) for other in (80, 100))])
def test_what_navigate_launches_does_not_spill(architecture: int) -> None:
    entries = compiled(architecture, "launched")
    assert {(entry["key"]["kernel"], entry["key"]["operand"]) for entry in entries} == {
        (kernel, operand) for kernel in ("sums", "gradients") for operand in ("float16", "float32")
    }
    for entry in entries:
        assert entry["report"]["stack"] == 0, entry
        assert entry["report"]["shared"] <= aot.SHARED_MEMORY[architecture], entry


@pytest.mark.parametrize(("kibibytes", "few"), [(99, True), (163, False), (227, False)])
def test_a_gpu_with_little_shared_memory_has_the_tiles_for_few_rows(
    kibibytes: int, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(shared_memory_per_block_optin=kibibytes * 1024)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    for function in (tile_table.architecture_of, tile_table.has_little_memory):
        function.cache_clear()
    with FakeTensorMode():
        z = torch.empty(1, 128, device="cuda")
        chosen = tile_table.tile_for("sums", z, 65536, running=False)
    for function in (tile_table.architecture_of, tile_table.has_little_memory):
        function.cache_clear()
    assert (chosen == tile_table.tile_for("sums", torch.empty(1, 128), 1, running=False)) == few


@pytest.mark.parametrize("architecture", tile_table.ARCHITECTURES)
def test_the_kernels_without_tiles_compile_too(architecture: int) -> None:
    entries = compiled(architecture, "rest")
    assert len(entries) == 4 * len(aot.REST)
    for entry in entries:
        assert entry["report"]["stack"] == 0, entry


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("d", [1, 16, 17, 64, 100, 128, 200, 256, 257, 512, 2048])
def test_there_is_a_tile_for_every_width_and_number_of_rows(d: int, dtype: torch.dtype) -> None:
    z = torch.zeros(1, d, dtype=dtype)
    wide = d > tile_table.WIDEST["float16" if dtype == torch.float16 else "float32"]
    for rows in (1, 1024, 1025, 10**6):
        for running in (False, True):
            for kernel in ("sums", "label_sums", *(("weights", "label_weights") if wide else ("gradients",))):
                tile = tile_table.tile_for(kernel, z, rows, running=running)
                assert tile.rows >= 16
                assert (tile.depth > 0) == wide or not wide


def test_few_rows_have_smaller_tiles() -> None:
    z = torch.zeros(1, 128, dtype=torch.float16)
    few, many = (tile_table.tile_for("sums", z, rows, running=False) for rows in (256, 65536))
    assert few.rows * few.columns < many.rows * many.columns
