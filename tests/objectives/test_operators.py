"""The losses as operators: with torch.compile, autograd and autocast."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.objectives import info_nce, kernel_interface, reference, sup_con
from copgen.runtime.dispatch import choose
from copgen.runtime.errors import UsageError

LABELS = torch.tensor([0, 0, 1, 1, 1, 2])


def rows(seed: int, count: int = 6, *, dtype: torch.dtype = torch.float64, grad: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator, dtype=torch.float64).to(dtype).requires_grad_(grad)


def tau(grad: bool = True) -> Tensor:
    return torch.tensor(0.3, dtype=torch.float64, requires_grad=grad)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the checker looks at it
@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("info_nce", (rows(0), rows(1), None, tau(), 0.0, True, False, True)),
        ("info_nce", (rows(0), rows(1), rows(2, 4), None, 0.3, False, False, False)),
        ("info_nce", (rows(0), rows(1, grad=False), None, None, 0.3, False, True, True)),
        ("info_nce", (rows(0, dtype=torch.bfloat16), rows(1, dtype=torch.bfloat16), None, None, 0.3, True, True, True)),
        ("sup_con", (rows(0), LABELS, tau(), 0.0, False)),
        ("sup_con", (rows(0, dtype=torch.float32), LABELS, None, 0.3, True)),
    ],
)
def test_is_registered_as_an_operator_should_be(operator: str, arguments: tuple[Any, ...]) -> None:
    torch.library.opcheck(getattr(torch.ops.copgen, operator).default, arguments)


@pytest.mark.parametrize("anchors", ["first", "both"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_all_gradients_are_those_of_finite_differences(anchors: Any, reduction: Any) -> None:
    def loss(h: Tensor, h_pos: Tensor, negatives: Tensor, temperature: Tensor) -> Tensor:
        return info_nce(h, h_pos, temperature=temperature, anchors=anchors, reduction=reduction, negatives=negatives)

    assert torch.autograd.gradcheck(loss, (rows(0), rows(1), rows(2, 4), tau()))


@pytest.mark.parametrize("asked", range(4))
def test_each_gradient_can_be_asked_for_alone(asked: int) -> None:
    inputs = [rows(0), rows(1), rows(2, 4), tau()]
    h, h_pos, negatives, temperature = inputs
    every = torch.autograd.grad(info_nce(h, h_pos, negatives=negatives, temperature=temperature), inputs)
    alone = [x.detach().requires_grad_(place == asked) for place, x in enumerate(inputs)]
    info_nce(alone[0], alone[1], negatives=alone[2], temperature=alone[3]).backward()  # type: ignore[no-untyped-call]
    for place, x in enumerate(alone):
        assert (x.grad is None) == (place != asked)
    gradient = alone[asked].grad
    assert gradient is not None
    torch.testing.assert_close(gradient, every[asked], rtol=1e-12, atol=1e-14)


def test_a_second_derivative_is_refused_and_the_reference_has_it() -> None:
    with pytest.raises(UsageError, match="second derivative"):
        torch.autograd.gradgradcheck(lambda h, h_pos: info_nce(h, h_pos, temperature=0.3), (rows(0), rows(1)))
    with pytest.raises(UsageError, match="second derivative"):
        torch.autograd.gradgradcheck(lambda h: sup_con(h, LABELS, temperature=0.3), (rows(0),))
    for count in (6, 300):  # small batches have their own implementation
        h, h_pos = rows(0, count), rows(1, count)
        with pytest.raises(UsageError, match="second derivative"):
            torch.autograd.grad(info_nce(h, h_pos, temperature=0.3), (h, h_pos), create_graph=True)
    unit = [F.normalize(x.detach(), dim=1).requires_grad_() for x in (rows(0), rows(1))]
    assert torch.autograd.gradgradcheck(lambda h, h_pos: reference.info_nce(h, h_pos, None, 0.3, both=True), unit)


def test_compiles_as_one_graph_with_the_same_result() -> None:
    def loss(h: Tensor, h_pos: Tensor) -> Tensor:
        pairs = torch.cat((2.0 * h, h_pos))
        return info_nce(2.0 * h, h_pos, temperature=0.3) + sup_con(pairs, LABELS.repeat(2), temperature=0.3)

    inputs = rows(0, dtype=torch.float32), rows(1, dtype=torch.float32)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected = loss(*inputs)
    assert torch.equal(compiled(*inputs), expected)
    gradients = torch.autograd.grad(compiled(*inputs), inputs)
    for found, plain in zip(gradients, torch.autograd.grad(expected, inputs), strict=True):
        # The compiler may sum the contributions to h in another order.
        torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)


def test_a_learnt_temperature_keeps_its_shape_and_dtype() -> None:
    temperature = torch.tensor([0.3], requires_grad=True)
    (gradient,) = torch.autograd.grad(info_nce(rows(0), rows(1), temperature=temperature), temperature)
    h, h_pos = (F.normalize(x, dim=1) for x in (rows(0), rows(1)))
    exact = tau()
    (expected,) = torch.autograd.grad(reference.info_nce(h, h_pos, None, exact, both=False).mean(), exact)
    assert gradient.shape == (1,)
    assert gradient.dtype == torch.float32
    assert gradient.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_gradients_have_the_dtype_and_shape_of_the_embeddings(dtype: torch.dtype, normalized: bool) -> None:
    strided = torch.randn(5, 12, dtype=torch.float64).to(dtype).T[::2].requires_grad_()
    h_pos = rows(1, dtype=dtype)
    loss = info_nce(strided, h_pos, temperature=0.3, normalized=normalized)
    gradients = torch.autograd.grad(loss, (strided, h_pos))
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert [(g.dtype, g.shape) for g in gradients] == [(dtype, (6, 5))] * 2
    plain = [x.detach().double().requires_grad_() for x in (strided, h_pos)]
    unit = plain if normalized else [F.normalize(x, dim=1) for x in plain]
    expected = torch.autograd.grad(reference.info_nce(unit[0], unit[1], None, 0.3, both=False).mean(), plain)
    for found, exact in zip(gradients, expected, strict=True):
        # The gradient is rounded once; its sum over 12 embeddings and 5 dimensions is taken in float32 or float64.
        wide = torch.finfo(loss.dtype).eps * 12 * 5 / 0.3
        torch.testing.assert_close(found.double(), exact, rtol=torch.finfo(dtype).eps, atol=wide)


def test_without_gradients_nothing_is_kept() -> None:
    with torch.no_grad():
        loss = info_nce(rows(0), rows(1), temperature=0.3)
    assert not loss.requires_grad


def test_what_has_no_kernel_runs_the_reference_and_says_so_once() -> None:
    device = torch.device("meta")
    assert choose("contrastive loss", device, torch.float32).name == "reference"
    assert choose("contrastive loss", torch.device("cuda"), torch.float64).name == "reference"
    assert choose("contrastive loss", torch.device("cpu"), torch.float16).name != "reference"
    assert choose("contrastive loss", torch.device("cpu"), torch.float64).name == "blocked"
    h = torch.zeros(6, 5, device=device)
    kernel_interface._announce.cache_clear()
    with pytest.warns(RuntimeWarning, match="type meta"):
        loss = info_nce(h, h, temperature=0.1)
    assert loss.shape == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sup_con(h, torch.zeros(6, dtype=torch.int64, device=device), temperature=0.1).shape == ()
