"""The losses against widely used implementations of the same loss, in value and gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.objectives import info_nce, rows_without_positive, sup_con

LABELS = torch.tensor([0, 1, 2, 0, 1, 0, 3])  # 3 has a positive in the other view only


def views(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Embeddings of two views of seven images, not normalised."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(7, 11, generator=generator, dtype=torch.float64)
    return h.to(dtype), (h + 0.7 * torch.randn(7, 11, generator=generator, dtype=torch.float64)).to(dtype)


def agree(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], inputs: Sequence[Tensor], digits: float) -> None:
    """The same loss and the same gradients, relative to the largest entry."""
    results = []
    for loss in (ours, theirs):
        own = [x.clone().requires_grad_() for x in inputs]
        value = loss(*own)
        results.append([value.detach(), *torch.autograd.grad(value, own)])
    for found, expected in zip(*results, strict=True):
        assert (found - expected).abs().amax() <= digits * expected.abs().amax()


def supcontrast(h: Tensor, h_pos: Tensor, labels: Tensor | None, temperature: float, base: float = 0.07) -> Tensor:
    """SupContrast's loss for two views in its mode "all", in a loop.

    It has the factor temperature / base, and an anchor without a positive counts as 0 in the mean.
    """
    z = torch.cat((h, h_pos))
    names = torch.arange(len(h)) if labels is None else labels
    names = names.repeat(2)
    total = z.new_zeros(())
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        log_p = torch.log_softmax(z[others] @ z[i] / temperature, dim=0)
        positives = [place for place, j in enumerate(others) if names[j] == names[i]]
        if positives:
            total = total - log_p[positives].mean()
    return temperature / base * total / len(z)


@pytest.mark.parametrize("temperature", [0.07, 0.1, 0.5])
def test_supcontrast_without_labels_is_info_nce_of_both_times_its_factor(temperature: float) -> None:
    unit = [F.normalize(x, dim=1) for x in views()]
    agree(
        lambda h, h_pos: (
            temperature / 0.07 * info_nce(h, h_pos, temperature=temperature, anchors="both", normalized=True)
        ),
        lambda h, h_pos: supcontrast(h, h_pos, None, temperature),
        unit,
        1e-12,
    )


@pytest.mark.parametrize("temperature", [0.07, 0.1, 0.5])
def test_supcontrast_with_labels_is_sup_con_times_its_factor(temperature: float) -> None:
    unit = [F.normalize(x, dim=1) for x in views()]
    assert rows_without_positive(LABELS.repeat(2)) == 0
    agree(
        lambda h, h_pos: (
            temperature
            / 0.07
            * sup_con(torch.cat((h, h_pos)), LABELS.repeat(2), temperature=temperature, normalized=True)
        ),
        lambda h, h_pos: supcontrast(h, h_pos, LABELS, temperature),
        unit,
        1e-12,
    )


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_lightly_ntxent_is_info_nce_of_both(temperature: float) -> None:
    loss = pytest.importorskip("lightly.loss").NTXentLoss(temperature=temperature)
    agree(
        lambda h, h_pos: info_nce(h, h_pos, temperature=temperature, anchors="both"),
        lambda h, h_pos: loss(h, h_pos),
        views(torch.float32),
        2e-6 / temperature,
    )


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_pytorch_metric_learning_supcon_is_sup_con_where_every_row_has_a_positive(temperature: float) -> None:
    loss = pytest.importorskip("pytorch_metric_learning.losses").SupConLoss(temperature=temperature)
    labels = LABELS.repeat(2)
    agree(
        lambda h, h_pos: sup_con(torch.cat((h, h_pos)), labels, temperature=temperature),
        lambda h, h_pos: loss(torch.cat((h, h_pos)), labels),
        views(),
        1e-10,
    )


def test_pytorch_metric_learning_leaves_out_rows_without_a_positive_as_sup_con_does() -> None:
    loss = pytest.importorskip("pytorch_metric_learning.losses").SupConLoss(temperature=0.1)
    h, _ = views()
    assert rows_without_positive(LABELS) == 2
    agree(lambda h: sup_con(h, LABELS, temperature=0.1), lambda h: loss(h, LABELS), [h], 1e-10)
