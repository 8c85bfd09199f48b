"""More numbers than 32 bits count: in a batch of over 2^31 numbers the last rows are what they are by themselves."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

from copgen.latents import constrain, draw_latents, navigate

ROWS, DIM = 2**16 + 3, 2**15
LAST = 3


@pytest.fixture(autouse=True)
def native_operators(built: None) -> None:
    assert ROWS * DIM > 2**31


def sliding(seed: int, dtype: torch.dtype) -> Tensor:
    """Rows (ROWS, DIM) that differ, each one number further along the same few: next to no memory."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS + DIM, generator=draw).to(dtype).as_strided((ROWS, DIM), (1, 1))


def memory_for(number_bytes: int) -> None:
    """Skips where the machine cannot hold ROWS x DIM numbers and a little more."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if total < 1.5 * ROWS * DIM * number_bytes + 2**31:
        pytest.skip(f"{ROWS} x {DIM} numbers of {number_bytes} bytes do not fit into {total >> 30} GiB")


@pytest.mark.parametrize("device", ["cpu"], indirect=True)
def test_constrain_reads_beyond_two_to_the_31(device: torch.device) -> None:
    z, z_pos = sliding(0, torch.float32), sliding(1, torch.float32)
    found, alone = constrain(z, z_pos, delta=1.4), constrain(z[-LAST:], z_pos[-LAST:], delta=1.4)
    assert torch.equal(found.d[-LAST:], alone.d)
    assert found.stats[0] == (found.d > 1.4).sum()


@pytest.mark.soak
@pytest.mark.parametrize("device", ["cpu"], indirect=True)
def test_navigate_writes_beyond_two_to_the_31(device: torch.device) -> None:
    memory_for(2)
    z, w1, w2 = sliding(0, torch.bfloat16), torch.full((1, DIM), 0.01), torch.full((DIM, 1), 0.5)
    weights = [x.bfloat16() for x in (w1, torch.ones(1), w2, torch.zeros(DIM))]
    found, alone = navigate(z, *weights), navigate(z[-LAST:], *weights)
    assert torch.equal(found.z_pos[-LAST:], alone.z_pos)
    assert torch.equal(found.d[-LAST:], alone.d)


@pytest.mark.soak
@pytest.mark.parametrize("device", ["cpu"], indirect=True)
def test_draws_are_written_beyond_two_to_the_31(device: torch.device) -> None:
    memory_for(4)
    rows = torch.arange(ROWS) + 2**40
    found = draw_latents(rows, dim=DIM, seed=5)
    assert torch.equal(found[-LAST:], draw_latents(rows[-LAST:], dim=DIM, seed=5))
