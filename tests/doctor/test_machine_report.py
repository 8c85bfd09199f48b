"""The doctor reports the chosen implementations, with the reasons of the dispatcher."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from copgen.doctor import self_test
from copgen.doctor.machine_report import examine
from copgen.latents import draw_latents
from copgen.runtime import dispatch
from copgen.runtime.errors import ExitCode
from copgen.runtime.native import Native, native
from copgen_cli.doctor import machine_rows
from tests.cli.command import copgen


def test_widths_are_named_where_they_matter() -> None:
    rows = examine(self_test=False)["operations"]
    assert not any("layers" in row for row in rows if row["device"] == "cpu")


def test_names_the_implementation_that_a_loss_on_this_machine_takes() -> None:
    found = examine(self_test=False)
    assert found["devices"][0]["device"] == "cpu"
    row = next(row for row in found["operations"] if row["device"] == "cpu")
    choice = dispatch.choose("contrastive loss", torch.device("cpu"), torch.float32)
    assert (row["operation"], row["runs"], row["reason"]) == ("contrastive loss", choice.name, choice.reason)
    assert found["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("capability", "triton", "lacking", "runs", "why"),
    [
        ((9, 0), True, "", "triton", "fused kernels for compute capability 9.0"),
        ((7, 5), True, "", "reference", "compute capability 7.5 is older than 8.0"),
        ((9, 0), False, "", "reference", "triton is not installed"),
        ((9, 0), True, "no compiler", "reference", "no compiler"),
    ],
)
def test_says_why_a_device_runs_what_it_runs(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], triton: bool, lacking: str, runs: str, why: str
) -> None:
    dispatch._choose.cache_clear()
    card = SimpleNamespace(name="A card", major=capability[0], minor=capability[1], total_memory=1 << 30)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "here" if triton else None)
    monkeypatch.setattr(dispatch, "what_triton_lacks", lambda: lacking)
    found = examine(self_test=False)
    dispatch._choose.cache_clear()
    assert found["devices"][1] == {
        "device": "cuda:0",
        "name": "A card",
        "capability": f"{capability[0]}.{capability[1]}",
        "memory_bytes": 1 << 30,
    }
    rows = [row for row in found["operations"] if (row["device"], row["operation"]) == ("cuda:0", "contrastive loss")]
    chosen = {dtype: (row["runs"], row["reason"]) for row in rows for dtype in row["dtypes"]}
    assert chosen["float16"] == chosen["bfloat16"] == chosen["float32"] == (runs, why)
    assert chosen["float64"][0] == "reference"
    assert "float64" in chosen["float64"][1]
    moves = [row for row in found["operations"] if (row["device"], row["operation"]) == ("cuda:0", "navigate")]
    narrow = next(row for row in moves if "float32" in row["dtypes"] and row.get("layers") != "above 128")
    assert narrow["runs"] == runs
    assert ("layers" in narrow) == (runs == "triton")
    assert all(row["runs"] != "triton" for row in moves if row.get("layers") == "above 128")


def test_the_self_test_of_every_operation_passes() -> None:
    found = examine()
    assert sorted(one["operation"] for one in found["self_tests"] if one["device"] == "cpu") == sorted(dispatch.TABLE)
    assert {row["operation"] for row in found["operations"]} == set(dispatch.TABLE)
    for one in found["self_tests"]:
        assert one["passed"], one
        assert one["error"] <= one["bound"] < 1e-2
        assert one["microseconds"] > 0
        assert one["reference_microseconds"] > 0


@pytest.mark.parametrize("wrong", [1e-3, math.nan])
def test_an_operation_that_computes_something_else_fails_its_self_test(
    monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    def off(*arguments: Any, **settings: Any) -> Any:
        return draw_latents(*arguments, **settings) + wrong

    monkeypatch.setattr(self_test, "draw_latents", off)
    monkeypatch.setattr(self_test, "SECONDS", 0.0)
    passed = {one["operation"]: one["passed"] for one in examine()["self_tests"] if one["device"] == "cpu"}
    assert passed == {operation: operation != "draw_latents" for operation in dispatch.TABLE}


def raising(*arguments: Any, **settings: Any) -> Any:
    raise RuntimeError("Failed to find C compiler")


def test_an_operation_that_raises_fails_its_self_test_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "draw_latents", raising)
    monkeypatch.setattr(self_test, "SECONDS", 0.0)
    found = {one["operation"]: one for one in examine()["self_tests"] if one["device"] == "cpu"}
    assert {name: one["passed"] for name, one in found.items()} == {
        operation: operation != "draw_latents" for operation in dispatch.TABLE
    }
    assert "Failed to find C compiler" in found["draw_latents"]["failure"]
    assert found["draw_latents"]["error"] is None


def test_a_nan_in_any_output_fails() -> None:
    zero, nan = torch.zeros(2), torch.tensor([0.0, math.nan])
    for outputs in ([zero, nan], [nan, zero]):
        one = self_test.SelfTest("views", partial(list, outputs), lambda: [zero], lambda: [zero, zero], 1.0)
        found = one.run(torch.device("cpu"))
        assert not found["passed"]
        assert found["error"] is None
        assert "nan" in found["failure"]


def test_a_device_on_which_no_inputs_can_be_made_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "_navigator", raising)
    (one,) = [row for row in examine()["self_tests"] if row["device"] == "cpu"]
    assert not one["passed"]
    assert "Failed to find C compiler" in one["failure"]


def test_the_command_reports_the_machine_and_the_failure_in_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "draw_latents", raising)
    monkeypatch.setattr(self_test, "SECONDS", 0.0)
    ended = copgen("doctor", "--json")
    assert ended.code == ExitCode.ENVIRONMENT
    assert ended.document["versions"]["torch"] == torch.__version__
    assert ended.document["error"]["code"] == ExitCode.ENVIRONMENT
    assert "draw_latents on cpu" in ended.document["error"]["what"]
    ended = copgen("doctor")
    assert ended.code == ExitCode.ENVIRONMENT
    assert "Failed to find C compiler" in ended.out
    assert torch.__version__ in ended.out
    assert "draw_latents on cpu" in ended.err
    assert "COPGEN_NATIVE=0" in ended.err


def test_says_how_the_native_operators_were_built() -> None:
    library = native()
    found = examine(self_test=False)
    assert (found["native"], found["native_reason"]) == (library.built, library.reason)
    if library.usable:
        assert set(library.built) == {"headers", "compiler", "cuda", "architectures"}
        assert library.built["headers"]
        assert library.built["compiler"]


def test_without_native_operators_the_command_says_what_is_missing_and_how_to_build_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = Native(False, "the native operators were not built; to build: pip install it", command="pip install it")
    monkeypatch.setattr("copgen.doctor.machine_report.native", lambda: missing)
    assert ("native operators", missing.reason) in machine_rows(examine(self_test=False))
