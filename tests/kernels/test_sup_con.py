"""SupCon on the Triton kernels against the plain loss in float64, of the same inputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from copgen.kernels import sup_con as launches
from copgen.kernels import wide
from copgen.objectives import reference, sup_con
from copgen.objectives.batch import Labelled
from tests.kernels.exact import DEVICE, Errors, embeddings, errors

DTYPES = (torch.float32, torch.float16)


def labels(kind: str, n: int) -> Tensor:
    """Labels of n rows: three classes, pairs, one class, a class per row, or one class among single rows."""
    index = torch.arange(n, device=DEVICE)
    several = {"three": index * 7 % 3, "pairs": index // 2, "one": index * 0, "none": index, "few": index.clamp(min=9)}
    return several[kind] - 2**40  # any int64 is a label


def bound(dtype: torch.dtype, temperature: float) -> float:
    """The bound of a relative error: float16 has 11 bits; a float32 logit of 1 / tau loses digits as tau falls."""
    if dtype == torch.float16:
        return 1e-3
    return 1e-5 if temperature <= 0.01 else 5e-6


def compare(z: Tensor, kind: str, temperature: float, *, upstream: Tensor | None = None) -> Errors:
    y = labels(kind, len(z))
    return errors(
        lambda h: sup_con(h, y, temperature=temperature, normalized=True, reduction="none"),
        lambda h: reference.sup_con(h, y, temperature)[0],
        [z],
        upstream=upstream,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.5, 0.1, 0.07, 0.02, 0.01])
@pytest.mark.parametrize("kind", ["three", "pairs", "one", "few"])
def test_agrees_with_float64(kind: str, temperature: float, dtype: torch.dtype) -> None:
    found = compare(embeddings(66, 48, dtype=dtype)[0], kind, temperature)
    assert found.loss <= bound(dtype, temperature)
    assert found.gradient <= bound(dtype, temperature)


@pytest.mark.parametrize(("n", "d"), [(2, 16), (3, 123), (64, 128), (65, 384), (257, 123)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_float64_at_every_shape(n: int, d: int, dtype: torch.dtype) -> None:
    found = compare(embeddings(n, d, dtype=dtype)[0], "one" if n < 4 else "three", 0.1)
    assert found.loss <= bound(dtype, 0.1)
    assert found.gradient <= bound(dtype, 0.1)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16])
def test_rows_of_any_length_are_normalized_and_the_temperature_learnt(dtype: torch.dtype) -> None:
    z = 5.0 * embeddings(40, 48, dtype=dtype, unit=False)[0]
    y = labels("three", 40)
    found = errors(
        lambda h, tau: sup_con(h, y, temperature=tau),
        lambda h, tau: reference.sup_con(reference.normalize(h), y, tau)[0].mean(),
        [z, torch.tensor(0.2, device=DEVICE)],
    )
    limit = bound(dtype, 0.2) if dtype == torch.float32 else 2.0**-11 / 0.2 + torch.finfo(dtype).eps
    assert found.loss <= limit
    assert found.gradient <= limit


@pytest.mark.parametrize("d", [48, 384])
def test_row_weights(d: int) -> None:
    weights = torch.randn(50, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    found = compare(embeddings(50, d)[0], "few", 0.2, upstream=weights)
    assert found.gradient <= bound(torch.float32, 0.2)


@pytest.mark.parametrize("kind", ["a column", "every second", "expanded"])
def test_labels_may_lie_anyhow(kind: str) -> None:
    y = labels("three", 33)
    strided = {
        "a column": torch.stack((y, y + 1), dim=1)[:, 0],
        "every second": torch.stack((y, y + 1), dim=1).flatten()[::2],
        "expanded": y[:1].expand(33),
    }[kind]
    z = embeddings(33, 16)[0]

    def result(y: Tensor, *, registered: bool) -> tuple[Tensor, Tensor]:
        h = z.clone().requires_grad_()
        operator = torch.ops.copgen.sup_con
        loss = operator(h, y, None, 0.1, False)[0].mean() if registered else sup_con(h, y, temperature=0.1)
        return loss.detach(), torch.autograd.grad(loss, h)[0]

    for registered in (False, True):
        found, expected = (result(y, registered=registered) for y in (strided, strided.contiguous()))
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


def test_without_any_positive_the_loss_is_zero_and_so_is_its_gradient() -> None:
    z = embeddings(40, 48)[0].requires_grad_()
    loss = sup_con(z, labels("none", 40), temperature=0.1)
    (gradient,) = torch.autograd.grad(loss, z)
    assert loss.item() == 0.0
    assert torch.equal(gradient, torch.zeros_like(z))


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # inf / inf, in NumPy
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_embedding_that_is_not_finite_makes_the_loss_nan(value: float) -> None:
    z = embeddings(40, 48)[0]
    z[3, 2] = value
    for normalized in (False, True):
        assert sup_con(z, labels("three", 40), temperature=0.1, normalized=normalized).isnan()


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("d", [48, 384])
def test_columns_may_be_split(monkeypatch: pytest.MonkeyPatch, d: int, splits: int) -> None:
    monkeypatch.setattr(launches, "forward_splits", lambda *launch: splits)
    monkeypatch.setattr(launches, "backward_splits", lambda *launch: splits)
    for temperature in (0.1, 0.02):
        found = compare(embeddings(100, d)[0], "three", temperature)
        assert found.loss <= bound(torch.float32, temperature)
        assert found.gradient <= bound(torch.float32, temperature)


def test_wide_rows_may_take_several_chunks_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "CHUNK_BYTES", 1)  # 64 rows at a time, the minimum
    found = compare(embeddings(150, 384, dtype=torch.float16)[0], "three", 0.1)
    assert found.gradient <= bound(torch.float16, 0.1)


@pytest.mark.parametrize("d", [48, 384])
def test_twice_the_same_gives_the_same_bits(d: int) -> None:
    def once() -> list[Tensor]:
        z = embeddings(70, d)[0].requires_grad_()
        loss = sup_con(z, labels("three", 70), temperature=0.1)
        return [loss.detach(), *torch.autograd.grad(loss, z)]

    for first, second in zip(once(), once(), strict=True):
        assert torch.equal(first, second)


def test_rows_of_one_rank_against_those_of_all() -> None:
    """Two ranks' losses and gradients, given the numbers of all rows, equal those of one process."""
    z_all, y_all = embeddings(40, 48)[0], labels("few", 40)
    settings = (0.2, True, torch.float32)
    parts = [
        Labelled(z_all[o : o + 20].clone(), None, y_all[o : o + 20].clone(), z_all, y_all, o, *settings)
        for o in (0, 20)
    ]
    one = Labelled(z_all, None, y_all, z_all, y_all, 0, *settings)
    forwards = [launches.forward(batch) for batch in parts]
    whole = launches.forward(one)
    for place in range(4):
        torch.testing.assert_close(torch.cat([f[place] for f in forwards]), whole[place], rtol=2e-5, atol=1e-6)
    weight = torch.randn(40, generator=torch.Generator().manual_seed(4)).to(DEVICE)
    expected, _ = launches.backward(one, *whole[1:], weight)
    found = [launches.backward(batch, *whole[1:], weight)[0] for batch in parts]
    torch.testing.assert_close(torch.cat(found), expected, rtol=1e-4, atol=1e-5)
