"""What executes the CUDA kernels on the host: it does what a GPU does, and finds what a GPU may let pass."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cuda_shim import library

NOTHING_WRONG = "no error"


@pytest.fixture(scope="module")
def faulty() -> library.CudaOnHost:
    """The operators, and the kernels of faulty.cu."""
    if library.missing():
        pytest.skip(library.missing())
    source = Path(__file__).with_name("faulty.cu").read_text()
    return library.CudaOnHost(library.build({**library.cuda_sources(), "faulty.cu": source}))


class Launcher:
    """Launches a kernel of faulty.cu; what it wrote is in `out`, and what went wrong is returned."""

    def __init__(self, built: library.CudaOnHost) -> None:
        self.built = built
        self.out = np.zeros(4096, np.int64)
        self._try = built.function("copgen_shim_try", ctypes.c_char_p)

    def __call__(
        self, kernel: str, *, blocks: int = 1, threads: int = 256, shared: int = 0, allowed: bool = False
    ) -> str:
        self.out[:] = 0
        out = self.out.ctypes.data_as(ctypes.c_void_p)
        said: bytes = self._try(kernel.encode(), blocks, threads, shared, allowed, out)
        return said.decode()


@pytest.fixture(params=range(4))
def launch(faulty: library.CudaOnHost, request: pytest.FixtureRequest) -> Iterator[Launcher]:
    """Under several orders of the threads."""
    with faulty.answering(seed=request.param):
        yield Launcher(faulty)


@pytest.mark.parametrize(
    ("kernel", "places"),
    [
        ("none_but_some_arrive", ["100 of 256 threads", "faulty.cu:12"]),
        ("at_two_barriers", ["faulty.cu:18", "faulty.cu:20"]),
        ("half_a_warp", ["16 of 32 threads", "faulty.cu:26"]),
        ("a_mask_of_half_a_warp", ["mask", "faulty.cu:30"]),
        ("more_than_there_is", ["shared memory", "faulty.cu:40"]),
    ],
)
def test_a_fault_ends_the_launch_and_is_located(launch: Launcher, kernel: str, places: list[str]) -> None:
    said = launch(kernel, blocks=2)
    assert all(place in said for place in places), said
    assert launch("unwritten") == NOTHING_WRONG  # the next launch is not affected


@pytest.mark.parametrize(
    ("blocks", "threads", "shared", "allowed"),
    [(0, 256, 0, False), (1, 0, 0, False), (1, 2048, 0, False), (1, 256, 50_000, False), (1, 256, 250_000, True)],
)
def test_a_launch_beyond_the_device_is_refused(
    launch: Launcher, blocks: int, threads: int, shared: int, allowed: bool
) -> None:
    assert launch("reversed", blocks=blocks, threads=threads, shared=shared, allowed=allowed).startswith("invalid")
    assert not launch.out.any()


def test_shared_memory_is_nan_for_every_block(launch: Launcher) -> None:
    assert launch("unwritten", blocks=9, threads=64) == NOTHING_WRONG
    assert (launch.out[:64] == -1).all()


def test_shared_memory_of_any_size_is_shared_by_a_block(launch: Launcher) -> None:
    assert launch("reversed", blocks=3, threads=1024, shared=200_000, allowed=True) == NOTHING_WRONG
    assert launch.out[:1024].tolist() == list(range(1024))[::-1]


def test_every_thread_runs_once_in_an_order_that_the_seed_decides(faulty: library.CudaOnHost) -> None:
    orders = set()
    for seed in (0, 0, *range(20)):
        with faulty.answering(seed=seed):
            launch = Launcher(faulty)
            assert launch("order", blocks=5, threads=64) == NOTHING_WRONG
        assert launch.out[0] == 5 * 64
        assert sorted(launch.out[1 : 1 + 5 * 64]) == list(range(5 * 64))
        orders.add(tuple(launch.out[1 : 1 + 5 * 64]))
    assert len(orders) == 20


def test_exchanges_within_a_warp(launch: Launcher) -> None:
    assert launch("exchanges", blocks=2, threads=96) == NOTHING_WRONG
    for place in range(192):
        thread = place % 96
        first, lane = thread // 32 * 32, thread % 32
        words = [(first + other) ** 2 for other in range(32)]
        ballot = sum(1 << other for other in range(32) if words[other] % 3 == 0)
        wanted = [
            words[3],
            words[lane ^ 5],
            words[lane + 30] if lane < 2 else words[lane],
            words[lane - 2] if lane >= 2 else words[lane],
            ballot,
        ]
        assert launch.out[5 * place : 5 * place + 5].tolist() == wanted, place


def test_numbers_and_functions_are_those_of_torch(faulty: library.CudaOnHost) -> None:
    functions = faulty.function("copgen_shim_functions", None)
    draw = np.random.default_rng(0)
    exponents = draw.uniform(-9, 0, 300)
    xs = [
        *draw.normal(size=300) * 10,
        *10.0**exponents,
        *(1 - 10.0**exponents),
        0.0,
        0.5,
        1.0039062,
        1.0117188,
        math.inf,
        math.nan,
    ]
    rounded, numbers = ctypes.c_float(), (ctypes.c_double * 3)()
    for x in xs:
        functions(ctypes.c_double(x), ctypes.byref(rounded), numbers)
        exact = torch.tensor(x, dtype=torch.float64)
        assert rounded.value == pytest.approx(float(exact.float().bfloat16()), rel=0, abs=0, nan_ok=True)
        if math.isfinite(x):
            assert numbers[0] == pytest.approx(math.sin(math.pi * (x % 2)), abs=1e-14)
            assert numbers[1] == pytest.approx(math.cos(math.pi * (x % 2)), abs=1e-14)
        if 0 < x < 1:
            assert numbers[2] == pytest.approx(float(torch.special.ndtri(exact)), rel=1e-8, abs=1e-14)
