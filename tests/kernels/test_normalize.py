"""L2-normalisation of rows on the device."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from copgen.kernels import normalize
from tests.kernels.exact import DEVICE, embeddings


@pytest.mark.parametrize("d", [1, 16, 123, 600])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rows_of_several_matrices_have_length_one(dtype: torch.dtype, d: int) -> None:
    given = [3.0 * x for x in embeddings(37, d, dtype=dtype, unit=False)]
    given.append(given[0][:5].clone())
    units, lengths = normalize.normalize(given, torch.float32)
    for x, z, length in zip(given, units, lengths, strict=True):
        exact = x.double()
        torch.testing.assert_close(z.double(), F.normalize(exact, dim=1), rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(length.double(), exact.norm(dim=1), rtol=1e-6, atol=0.0)


def test_strides_and_the_dtype_of_the_rows() -> None:
    x = torch.randn(90, 40, generator=torch.Generator().manual_seed(0)).to(DEVICE).T[::2]
    (z,), _ = normalize.normalize([x], torch.float16)
    assert z.dtype == torch.float16
    assert z.is_contiguous()
    torch.testing.assert_close(z.float(), F.normalize(x, dim=1), rtol=1e-3, atol=1e-4)


def test_a_row_of_zeros_stays_and_a_row_with_nan_is_nan() -> None:
    x = torch.ones(3, 8, device=DEVICE)
    x[0], x[1, 4] = 0.0, torch.nan
    (z,), (length,) = normalize.normalize([x], torch.float32)
    assert torch.equal(z[0], torch.zeros(8, device=DEVICE))
    assert z[1].isnan().all()
    assert length[1].isnan()
    assert length[0] == pytest.approx(1e-12)
