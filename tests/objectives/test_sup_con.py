"""SupCon "out" against a double loop written from its equation 2."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.objectives import info_nce, reference, rows_without_positive, sup_con
from copgen.runtime.errors import UsageError

LABELS = torch.tensor([3, 1, 3, -7, 1, 3, 5])


def embeddings(n: int = 7, d: int = 5, *, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def equation_2(h: Tensor, labels: Tensor, temperature: float) -> list[float]:
    """L_i for every row, in Python floats; 0 for rows without a positive."""
    z = [row / row.norm() for row in h]
    losses = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        logits = {j: float(z[i] @ z[j]) / temperature for j in others}
        total = sum(math.exp(logit) for logit in logits.values())
        positives = [j for j in others if labels[j] == labels[i]]
        terms = [-math.log(math.exp(logits[p]) / total) for p in positives]
        losses.append(sum(terms) / len(terms) if terms else 0.0)
    return losses


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("labels", [LABELS, torch.zeros(7, dtype=torch.int64), torch.arange(7)])
def test_agrees_with_equation_2(labels: Tensor, temperature: float) -> None:
    h = embeddings()
    expected = torch.tensor(equation_2(h, labels, temperature), dtype=torch.float64)
    losses = sup_con(h, labels, temperature=temperature, reduction="none")
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        reference.sup_con(reference.normalize(h), labels, temperature)[0], expected, rtol=1e-12, atol=1e-12
    )


def test_rows_without_a_positive_are_left_out_of_the_mean_and_counted() -> None:
    h = embeddings()
    losses = sup_con(h, LABELS, temperature=0.2, reduction="none")
    assert torch.equal(losses == 0, torch.tensor([False, False, False, True, False, False, True]))
    torch.testing.assert_close(sup_con(h, LABELS, temperature=0.2), losses.sum() / 5, rtol=1e-14, atol=0.0)
    assert rows_without_positive(LABELS).item() == 2
    assert rows_without_positive(torch.tensor([4])).item() == 1
    assert rows_without_positive(torch.tensor([4, 4])).item() == 0


def test_without_any_positive_the_loss_is_zero_and_so_is_its_gradient() -> None:
    h = embeddings().requires_grad_()
    loss = sup_con(h, torch.arange(7), temperature=0.1)
    (gradient,) = torch.autograd.grad(loss, h)
    assert loss.item() == 0.0
    assert torch.equal(gradient, torch.zeros_like(h))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("temperature", [0.5, 0.02])
def test_pairs_as_labels_are_info_nce(temperature: float, dtype: torch.dtype) -> None:
    h, h_pos = embeddings(14, dtype=dtype).chunk(2)
    labels = torch.arange(7).repeat(2)
    losses = sup_con(torch.cat((h, h_pos)), labels, temperature=temperature, reduction="none")
    expected = info_nce(h, h_pos, temperature=temperature, anchors="both", reduction="none")
    # Both sum the same 13 exponentials of logits up to 1 / tau.
    bound = 16 / temperature * torch.finfo(dtype).eps
    torch.testing.assert_close(losses, expected, rtol=bound, atol=bound)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("learnt", [False, True])
def test_gradients_are_those_of_finite_differences(normalized: bool, learnt: bool) -> None:
    h = F.normalize(embeddings(), dim=1).requires_grad_()
    tau = torch.tensor(0.3, dtype=torch.float64, requires_grad=learnt)

    def loss(h: Tensor, tau: Tensor) -> Tensor:
        return sup_con(h, LABELS, temperature=tau, normalized=normalized, reduction="none")

    assert torch.autograd.gradcheck(loss, (h, tau))


def test_labels_may_be_any_integers() -> None:
    h = embeddings()
    expected = sup_con(h, LABELS, temperature=0.1)
    assert torch.equal(sup_con(h, LABELS.to(torch.int8), temperature=0.1), expected)
    assert torch.equal(sup_con(h, LABELS * 2**55, temperature=0.1), expected)
    assert torch.equal(sup_con(h, (LABELS * 2).view(-1), temperature=0.1), expected)


def test_an_embedding_that_is_not_finite_makes_the_loss_nan() -> None:
    h = embeddings()
    h[3, 2] = math.nan
    assert sup_con(h, LABELS, temperature=0.1).isnan()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"h": torch.zeros(7)}, "h has shape"),
        ({"h": torch.zeros(7, 0)}, "h has shape"),
        ({"h": torch.zeros(1, 5), "labels": torch.zeros(1, dtype=torch.int64)}, "at least 2 rows"),
        ({"h": torch.zeros(0, 5), "labels": torch.zeros(0, dtype=torch.int64)}, "at least 2 rows"),
        ({"h": torch.zeros(7, 5, dtype=torch.int64)}, "int64"),
        ({"labels": torch.zeros(6, dtype=torch.int64)}, "labels has shape"),
        ({"labels": torch.zeros(7, 1, dtype=torch.int64)}, "labels has shape"),
        ({"labels": torch.zeros(7)}, "labels is torch.float32"),
        ({"labels": torch.zeros(7, dtype=torch.int64, device="meta")}, "labels on meta"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": torch.tensor(math.nan)}, "temperature"),
        ({"reduction": "sum"}, "reduction"),
    ],
)
def test_refuses_invalid_arguments(change: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"h": torch.zeros(7, 5), "labels": LABELS, "temperature": 0.1, **change}
    with pytest.raises(UsageError, match=says):
        sup_con(arguments.pop("h"), arguments.pop("labels"), **arguments)
