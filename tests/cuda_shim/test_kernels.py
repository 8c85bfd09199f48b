"""The CUDA kernels as a whole; what each operator computes is tested in tests/latents/operations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from copgen.latents import constrain, draw_latents, navigate
from tests.cuda_shim import library
from tests.cuda_shim.barriers import failing_test, places
from tests.cuda_shim.translation import barriers, kernels, translated, without_barrier
from tests.latents.operations.navigators import case


@pytest.fixture(autouse=True)
def uninitialised_memory_is_nan() -> Iterator[None]:
    if library.missing():
        pytest.skip(library.missing())
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def results(dtype: torch.dtype, width: int) -> list[Tensor]:
    """Outputs and gradients of all operators, on several tiles and blocks; the last rows do not fill a tile."""
    inputs = [x.requires_grad_() for x in case(1100, 9, width, dtype=dtype)]
    moved = navigate(*inputs, delta=0.3)
    rejected = constrain(inputs[0], moved.z_pos, delta=0.3, mode="reject")
    projected = constrain(inputs[0], moved.z_pos, delta=0.3, mode="project")
    assert rejected.order is not None
    loss = projected.z_pos.square().sum() + moved.d.sum() + projected.d.sum()
    drawn = [draw_latents(range(40), dim=9, seed=0, threshold=threshold) for threshold in (None, 2.0)]
    outputs = [moved.z_pos, moved.d, moved.stats, rejected.order, rejected.stats, projected.z_pos, *drawn]
    return [x.detach() for x in (*outputs, *torch.autograd.grad(loss, inputs))]


@pytest.mark.parametrize(
    ("dtype", "width"), [(torch.float32, 20), (torch.bfloat16, 20), (torch.float64, 20), (torch.float32, 130)]
)
def test_no_bit_depends_on_the_order_of_execution(dtype: torch.dtype, width: int) -> None:
    seen = set()
    for seed in range(6):
        with library.loaded().answering(seed=seed):
            found = results(dtype, width)
        assert all(bool(torch.isfinite(x).all()) for x in found)
        seen.add(hashlib.sha256(b"".join(x.contiguous().view(torch.uint8).numpy().tobytes() for x in found)).digest())
    assert len(seen) == 1


def test_the_operators_launch_every_kernel() -> None:
    with library.loaded().answering(seed=0):
        results(torch.float32, 20)
        results(torch.float32, 130)
        launched = library.loaded().launched()
    assert launched == set.union(*(kernels(text) for text in library.cuda_sources().values()))


@pytest.mark.parametrize("processors", [1, 2, 40])
@pytest.mark.parametrize("shared_bytes", [232_448, 101_376, 49_152])
def test_any_device_has_its_grid_and_tile(processors: int, shared_bytes: int) -> None:
    inputs = case(300, 120, 120, dtype=torch.float32)
    plain = navigate(*inputs, delta=0.3)
    with library.loaded().answering(seed=0, processors=processors, shared_bytes=shared_bytes):
        found = navigate(*inputs, delta=0.3)
        fused = "navigate_tiles" in library.loaded().launched()
    assert fused == (shared_bytes > 200_000)
    for ours, wanted in zip((found.z_pos, found.d, found.stats), (plain.z_pos, plain.d, plain.stats), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)


def test_the_operators_of_the_cpu_answer_again_afterwards() -> None:
    inputs = case(70, 33, 20, dtype=torch.float32)
    before = navigate(*inputs).z_pos
    with library.loaded().answering(seed=0):
        navigate(*inputs)
        assert library.loaded().launched()
    with library.loaded().answering(seed=0):
        assert not library.loaded().launched()
    assert torch.equal(navigate(*inputs).z_pos, before)


def test_translation_keeps_every_line() -> None:
    for name, text in library.cuda_sources().items():
        assert len(translated(text, name).split("\n")) == 1 + len(text.split("\n"))
        for line, statement in barriers(text):
            assert statement in text.split("\n")[line - 1]
            assert statement not in without_barrier(text, line).split("\n")[line - 1]


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("name", "line"), places())
def test_no_barrier_can_be_removed(name: str, line: int) -> None:
    assert failing_test(name, line)
