"""The doctor says what is chosen, with the choice's own words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from copgen.objectives import implementations
from copgen.stages.doctor import examine


def test_names_the_implementation_that_a_loss_on_this_machine_takes() -> None:
    found = examine()
    assert found["devices"][0]["device"] == "cpu"
    row = next(row for row in found["operations"] if row["device"] == "cpu")
    choice = implementations.choose(torch.device("cpu"), torch.float32)
    assert (row["operation"], row["runs"], row["reason"]) == ("contrastive loss", choice.name, choice.reason)
    assert found["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("capability", "triton", "runs", "why"),
    [
        ((9, 0), True, "triton", "fused kernels for compute capability 9.0"),
        ((7, 5), True, "reference", "compute capability 7.5 is older than 8.0"),
        ((9, 0), False, "reference", "triton is not installed"),
    ],
)
def test_says_why_a_device_runs_what_it_runs(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], triton: bool, runs: str, why: str
) -> None:
    implementations._choose_cuda.cache_clear()
    card = SimpleNamespace(name="A card", major=capability[0], minor=capability[1], total_memory=1 << 30)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "here" if triton else None)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "3.8.0")
    found = examine()
    implementations._choose_cuda.cache_clear()
    assert found["devices"][1] == {
        "device": "cuda:0",
        "name": "A card",
        "capability": f"{capability[0]}.{capability[1]}",
        "memory_bytes": 1 << 30,
    }
    rows = [row for row in found["operations"] if row["device"] == "cuda:0"]
    chosen = {dtype: (row["runs"], row["reason"]) for row in rows for dtype in row["dtypes"]}
    assert chosen["float16"] == chosen["bfloat16"] == chosen["float32"] == (runs, why)
    assert chosen["float64"] == ("reference", "the CUDA kernels have no float64")
