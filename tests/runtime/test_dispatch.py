"""The table of implementations: what is chosen for which tensors, and that the reason names what decided it."""

from __future__ import annotations

import pytest
import torch

from copgen.runtime import dispatch
from copgen.runtime.native import Native

F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64
PLAIN = Native(True, "built here", {"cuda": "", "architectures": ""})
PRODUCTS = Native(True, "built here", PLAIN.built, instructions="AVX2")
CUDA = Native(True, "built here", {"cuda": "13.0", "architectures": "8.0;9.0+PTX"})
TURING = Native(True, "built here", {"cuda": "12.8", "architectures": "7.5"})
NONE = Native(False, "not built here")


@pytest.mark.parametrize(
    ("library", "operation", "device", "dtype", "name", "reason"),
    [
        (PLAIN, "navigate", "cpu", F32, "native", "built here"),
        (NONE, "navigate", "cpu", F32, "reference", "not built here"),
        (PLAIN, "navigate", "cpu", F16, "reference", "float16"),
        (PLAIN, "navigate", "meta", F32, "reference", "meta"),
        (PLAIN, "constrain", "cuda", F32, "reference", "CUDA"),
        (CUDA, "constrain", "cuda", BF16, "native", "8.0;9.0+PTX"),
        (NONE, "constrain", "cuda", BF16, "reference", "not built here"),
        (PLAIN, "draw_latents", "cpu", F64, "reference", "float64"),
        (PLAIN, "random words", "cpu", torch.int64, "native", "built here"),
        (CUDA, "random words", "cuda", torch.int64, "reference", "cuda"),
        (PLAIN, "fixed points", "cpu", F64, "native", "built here"),
        (PRODUCTS, "flow inverse", "cpu", F32, "native", "AVX2"),
        (PRODUCTS, "flow inverse", "cpu", F64, "reference", "float64"),
        (PLAIN, "flow inverse", "cpu", F32, "reference", "processor"),
        (NONE, "views", "cpu", torch.uint8, "reference", "not built here"),
        (CUDA, "views", "cuda", torch.uint8, "reference", "cuda"),
        (PRODUCTS, "nearest rows", "cpu", F32, "native", "AVX2"),
        (PRODUCTS, "nearest rows", "cpu", F64, "reference", "float64"),
        (PLAIN, "nearest rows", "cpu", F32, "reference", "processor"),
        (PRODUCTS, "contrastive loss", "cpu", F16, "native", "AVX2"),
        (PRODUCTS, "contrastive loss", "cpu", F64, "blocked", "float64"),
        (NONE, "contrastive loss", "cpu", F32, "blocked", "not built here"),
    ],
)
def test_the_choice_comes_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
    library: Native,
    operation: dispatch.Operation,
    device: str,
    dtype: torch.dtype,
    name: str,
    reason: str,
) -> None:
    monkeypatch.setattr(dispatch, "native", lambda: library)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 6))
    choice = dispatch.choose(operation, torch.device(device), dtype)
    assert choice.name == name
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("architectures", "runs_on", "not_on"),
    [
        ("8.0;9.0+PTX", [(8, 0), (8, 6), (9, 0), (10, 0), (12, 0)], [(7, 0), (7, 5)]),
        ("7.5", [(7, 5)], [(7, 0), (8, 0)]),
        ("7.0+PTX", [(7, 0), (7, 5), (9, 0)], [(6, 1)]),
        ("Turing;Ampere", [(7, 5), (8, 0)], []),
    ],
)
def test_code_for_an_architecture_runs_on_later_minor_versions_and_anywhere_later_from_ptx(
    architectures: str, runs_on: list[tuple[int, int]], not_on: list[tuple[int, int]]
) -> None:
    assert all(dispatch.covers(architectures, capability) for capability in runs_on)
    assert not any(dispatch.covers(architectures, capability) for capability in not_on)


FORBIDDEN = Native(False, "forbidden here", forbidden=True)


def chosen_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
    operation: dispatch.Operation,
    library: Native,
    dtype: torch.dtype = F32,
    *,
    wide: bool = False,
    capability: tuple[int, int] = (9, 0),
    lacking: str = "",
) -> dispatch.Choice:
    """The choice on a machine with such a GPU, where Triton lacks this."""
    monkeypatch.setattr(dispatch, "native", lambda: library)
    monkeypatch.setattr(dispatch, "what_triton_lacks", lambda: lacking)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    dispatch._choose.cache_clear()
    choice = dispatch.choose(operation, torch.device("cuda"), dtype, wide=wide)
    dispatch._choose.cache_clear()
    return choice


@pytest.mark.parametrize(
    ("library", "capability", "dtype", "wide", "name", "reason"),
    [
        (CUDA, (9, 0), F32, False, "triton", "9.0"),
        (NONE, (8, 6), BF16, False, "triton", "8.6"),
        (NONE, (8, 6), F16, False, "triton", "8.6"),
        (CUDA, (9, 0), F64, False, "native", "float64"),
        (CUDA, (9, 0), F32, True, "native", "128 coordinates"),
        (TURING, (7, 5), F32, False, "native", "7.5"),
        (CUDA, (7, 5), F32, False, "reference", "TORCH_CUDA_ARCH_LIST=7.5"),
        (PLAIN, (9, 0), F32, True, "reference", "without CUDA"),
        (NONE, (9, 0), F64, False, "reference", "not built here"),
        (FORBIDDEN, (9, 0), F32, False, "reference", "forbidden here"),
    ],
)
def test_a_navigator_on_cuda_takes_the_tensor_cores_where_its_layers_fit(
    monkeypatch: pytest.MonkeyPatch,
    library: Native,
    capability: tuple[int, int],
    dtype: torch.dtype,
    wide: bool,
    name: str,
    reason: str,
) -> None:
    choice = chosen_on_a_gpu(monkeypatch, "navigate", library, dtype, wide=wide, capability=capability)
    assert choice.name == name
    assert reason in choice.reason


@pytest.mark.parametrize(("operation", "name"), [("contrastive loss", "reference"), ("navigate", "native")])
def test_what_triton_cannot_compile_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch, operation: dispatch.Operation, name: str
) -> None:
    assert chosen_on_a_gpu(monkeypatch, operation, CUDA).name == "triton"
    choice = chosen_on_a_gpu(monkeypatch, operation, CUDA, lacking="no compiler here")
    assert choice.name == name
    assert name == "native" or choice.reason == "no compiler here"


@pytest.mark.parametrize("operation", ["contrastive loss", "navigate"])
def test_the_reference_can_be_forced_in_place_of_every_triton_kernel(
    monkeypatch: pytest.MonkeyPatch, operation: dispatch.Operation
) -> None:
    choice = chosen_on_a_gpu(monkeypatch, operation, FORBIDDEN)
    assert choice == ("reference", "forbidden here")
