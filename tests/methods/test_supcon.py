"""SupCon with classes and with several positives, against the published loss; data that has neither is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from copgen.methods.supcon import SupCon
from copgen.runtime.errors import UsageError
from tests.methods.small import K, batch, tiny


def published(features: Tensor, labels: Tensor | None, temperature: float) -> Tensor:
    """SupContrast's loss without its constant factor, from its definition: features (K, V, D) of length 1.

    The mean over all anchors of all views of minus the mean log-probability of their positives.
    """
    K, V, _ = features.shape
    names = torch.arange(K) if labels is None else labels
    rows = features.transpose(0, 1).flatten(0, 1)
    own = torch.eye(V * K, dtype=torch.bool)
    positive = (names[:, None] == names[None, :]).repeat(V, V) & ~own
    log_p = torch.log_softmax((rows @ rows.T / temperature).masked_fill(own, -math.inf), dim=1)
    return -(log_p.masked_fill(~positive, 0.0).sum(1) / positive.sum(1)).mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("views", "classes"), [(2, True), (3, True), (3, False)])
def test_value_and_gradients_are_the_published_losss(dtype: torch.dtype, views: int, classes: bool) -> None:
    method = tiny("supcon", views=views).to(dtype)
    seen, labels = batch(0, views)
    seen = tuple(v.to(dtype) for v in seen)
    method.f.eval()
    loss = method(*seen, labels=labels if classes else None)["loss"]
    h = torch.nn.functional.normalize(torch.stack([method.f(v)["projection"] for v in seen], dim=1), dim=2)
    expected = published(h, labels if classes else None, 0.1)
    bound = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(loss, expected, rtol=bound, atol=bound)
    parameters = list(method.f.parameters())
    for found, theirs in zip(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        assert (found - theirs).abs().amax() <= 10 * bound * theirs.abs().amax()


def test_every_sample_is_its_own_class_without_classes() -> None:
    method = tiny("supcon", views=3)
    seen, _ = batch(0, views=3)
    torch.testing.assert_close(method(*seen)["loss"], method(*seen, labels=torch.arange(K))["loss"])


def test_rows_without_a_positive_are_left_out_and_counted() -> None:
    method = tiny("supcon", views=1)
    assert isinstance(method, SupCon)
    outputs = ({"projection": torch.randn(4, 6, generator=torch.Generator().manual_seed(0))},)
    loss = method.loss(outputs, ({},), torch.tensor([0, 1, 2, 0]))["loss"]
    assert int(method.metrics()["rows_without_positive"]) == 2
    assert bool(loss.isfinite())
    alone = method.loss(outputs, ({},), torch.arange(4))["loss"]
    assert (float(alone), int(method.metrics()["rows_without_positive"])) == (0.0, 4)


def test_data_with_neither_classes_nor_several_positives_is_refused() -> None:
    method = tiny("supcon")
    seen, _ = batch(0)
    with pytest.raises(UsageError, match=r"class.*--method simclr.*--positives") as error:
        method(*seen)
    assert error.value.code == 2
