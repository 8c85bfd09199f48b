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
NONE = Native(False, "not built here")


@pytest.mark.parametrize(
    ("library", "operation", "device", "dtype", "name", "reason"),
    [
        (PLAIN, "navigate", "cpu", F32, "native", "built here"),
        (NONE, "navigate", "cpu", F32, "reference", "not built here"),
        (PLAIN, "navigate", "cpu", F16, "reference", "float16"),
        (PLAIN, "navigate", "meta", F32, "reference", "meta"),
        (PLAIN, "navigate", "cuda", F32, "reference", "CUDA"),
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
    choice = dispatch.choose(operation, torch.device(device), dtype)
    assert choice.name == name
    assert reason in choice.reason
