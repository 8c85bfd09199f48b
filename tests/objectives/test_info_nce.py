"""InfoNCE with dual negatives against a double loop written from Algorithm 1."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.objectives import chance_level, info_nce
from copgen.runtime.errors import UsageError

Anchors = Literal["first", "both"]
BOTH: tuple[Anchors, ...] = ("first", "both")


def embeddings(k: int = 6, d: int = 5, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(k, d, generator=generator, dtype=torch.float64)
    h_pos = h + 0.7 * torch.randn(k, d, generator=generator, dtype=torch.float64)
    return h.to(dtype), h_pos.to(dtype)


def algorithm_1(h: Tensor, h_pos: Tensor, temperature: float) -> list[float]:
    """L_k for every k, in Python floats; exact as long as no exponential overflows."""
    a = [row / row.norm() for row in h]
    b = [row / row.norm() for row in h_pos]
    losses = []
    for k in range(len(a)):
        own = float(a[k] @ b[k]) / temperature
        denominator = 0.0
        for j in range(len(a)):
            if j != k:
                denominator += math.exp(float(a[k] @ a[j]) / temperature)
            denominator += math.exp(float(a[k] @ b[j]) / temperature)
        losses.append(-math.log(math.exp(own) / denominator))
    return losses


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("k", [2, 3, 8])
def test_agrees_with_algorithm_1(k: int, temperature: float) -> None:
    h, h_pos = embeddings(k)
    expected = torch.tensor(algorithm_1(h, h_pos, temperature), dtype=torch.float64)
    losses = info_nce(h, h_pos, temperature=temperature, reduction="none")
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(info_nce(h, h_pos, temperature=temperature), expected.mean(), rtol=1e-12, atol=1e-12)


def test_both_is_the_mean_of_the_two_directions() -> None:
    h, h_pos = embeddings()
    forth = info_nce(h, h_pos, temperature=0.2, reduction="none")
    back = info_nce(h_pos, h, temperature=0.2, reduction="none")
    both = info_nce(h, h_pos, temperature=0.2, anchors="both", reduction="none")
    torch.testing.assert_close(both, torch.cat((forth, back)), rtol=1e-12, atol=1e-12)
    mean = info_nce(h, h_pos, temperature=0.2, anchors="both")
    torch.testing.assert_close(mean, (forth.mean() + back.mean()) / 2, rtol=1e-12, atol=1e-12)


def test_both_is_cross_entropy_over_all_2k_embeddings() -> None:
    h, h_pos = embeddings()
    z = F.normalize(torch.cat((h, h_pos)), dim=1)
    logits = (z @ z.T / 0.2).masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf)
    expected = F.cross_entropy(logits, torch.arange(len(z)).roll(len(h)))
    torch.testing.assert_close(info_nce(h, h_pos, temperature=0.2, anchors="both"), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("anchors", BOTH)
def test_the_order_of_the_pairs_does_not_matter(anchors: Anchors) -> None:
    h, h_pos = embeddings()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    rows = order if anchors == "first" else torch.cat((order, order + len(h)))
    losses = info_nce(h, h_pos, temperature=0.1, anchors=anchors, reduction="none")
    permuted = info_nce(h[order], h_pos[order], temperature=0.1, anchors=anchors, reduction="none")
    torch.testing.assert_close(permuted, losses[rows], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("anchors", BOTH)
@pytest.mark.parametrize("k", [2, 64, 176])
def test_identical_embeddings_give_the_chance_level(k: int, anchors: Anchors) -> None:
    h = torch.ones(k, 4, dtype=torch.float64)
    assert info_nce(h, h, temperature=0.1, anchors=anchors).item() == pytest.approx(math.log(2 * k - 1), abs=1e-12)
    assert chance_level(k) == math.log(2 * k - 1)


@pytest.mark.parametrize("anchors", BOTH)
@pytest.mark.parametrize("normalized", [False, True])
def test_gradients_are_those_of_finite_differences(anchors: Anchors, normalized: bool) -> None:
    h, h_pos = (x.requires_grad_() for x in embeddings(4, 3))

    def loss(h: Tensor, h_pos: Tensor) -> Tensor:
        return info_nce(h, h_pos, temperature=0.3, anchors=anchors, normalized=normalized, reduction="none")

    assert torch.autograd.gradcheck(loss, (h, h_pos))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_dominant_positive_keeps_its_precision_at_a_small_temperature(dtype: torch.dtype) -> None:
    """At tau = 0.01 the loss is about exp(-50): far below the spacing of floats near the logits."""
    h = torch.tensor([[1.0, 0.0], [0.5, math.sqrt(0.75)]], dtype=dtype)
    losses = info_nce(h, h, temperature=0.01, reduction="none")
    # Two negatives at 60 degrees, the positive at 0. The exponent is the difference of two logits of up to 100, each
    # after about four roundings: two normalisations, the product, the division.
    bound = 2 * 100 * 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(losses, torch.full((2,), 2.0 * math.exp(-50.0), dtype=dtype), rtol=bound, atol=0.0)


def test_a_lost_positive_at_a_small_temperature_stays_finite() -> None:
    h = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    losses = info_nce(h, -h, temperature=0.01, reduction="none")
    # Both the other anchor and its positive: cos = -1 and +1; the own positive has cos = -1.
    torch.testing.assert_close(losses, torch.full((2,), 200.0, dtype=torch.float64), rtol=1e-15, atol=0.0)


def test_float32_agrees_with_float64() -> None:
    exact = info_nce(*embeddings(32, 16), temperature=0.1, reduction="none")
    single = info_nce(*embeddings(32, 16, dtype=torch.float32), temperature=0.1, reduction="none")
    # Logits reach 1 / tau = 10 and a dot product of 16 terms is rounded 16 times at most.
    torch.testing.assert_close(single.double(), exact, rtol=0.0, atol=2 * 16 * 10 * torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    h, h_pos = embeddings(dtype=dtype)
    expected = info_nce(h.float(), h_pos.float(), temperature=0.05)
    assert torch.equal(info_nce(h, h_pos, temperature=0.05), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(info_nce(h.float(), h_pos.float(), temperature=0.05), expected)


def test_lengths_matter_only_with_normalized_true() -> None:
    h, h_pos = embeddings()
    loss = info_nce(h, h_pos, temperature=0.1)
    torch.testing.assert_close(info_nce(3.0 * h, 0.2 * h_pos, temperature=0.1), loss, rtol=1e-12, atol=0.0)
    unit, unit_pos = F.normalize(h, dim=1), F.normalize(h_pos, dim=1)
    assert torch.equal(info_nce(unit, unit_pos, temperature=0.1, normalized=True), loss)
    assert not torch.isclose(info_nce(h, h_pos, temperature=0.1, normalized=True), loss)


@pytest.mark.parametrize("anchors", BOTH)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_embedding_that_is_not_finite_makes_the_loss_nan(value: float, anchors: Anchors) -> None:
    h, h_pos = embeddings()
    h_pos[3, 2] = value
    assert info_nce(h, h_pos, temperature=0.1, anchors=anchors).isnan()


@pytest.mark.parametrize("anchors", BOTH)
def test_further_negatives_are_told_from_the_positive_too(anchors: Anchors) -> None:
    h, h_pos = embeddings(8)
    expected = info_nce(h, h_pos, temperature=0.2, anchors=anchors, reduction="none")
    queue = torch.cat((h[6:], h_pos[6:]))
    losses = info_nce(h[:6], h_pos[:6], negatives=queue, temperature=0.2, anchors=anchors, reduction="none")
    rows = torch.arange(6) if anchors == "first" else torch.cat((torch.arange(6), torch.arange(8, 14)))
    torch.testing.assert_close(losses, expected[rows], rtol=1e-12, atol=1e-12)
    alike = torch.ones(5, 3)
    loss = info_nce(alike, alike, negatives=alike[:2], temperature=0.2, anchors=anchors)
    assert loss.item() == pytest.approx(chance_level(5, negatives=2), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"h_pos": torch.zeros(5, 5)}, "shape"),
        ({"h": torch.zeros(5), "h_pos": torch.zeros(5)}, "shape"),
        ({"h": torch.zeros(1, 5), "h_pos": torch.zeros(1, 5)}, "at least 2 rows"),
        ({"h": torch.zeros(6, 5, dtype=torch.int64), "h_pos": torch.zeros(6, 5, dtype=torch.int64)}, "int64"),
        ({"h": torch.zeros(0, 5), "h_pos": torch.zeros(0, 5)}, "at least 2 rows"),
        ({"h": torch.zeros(6, 0), "h_pos": torch.zeros(6, 0)}, "h has shape"),
        ({"h_pos": torch.zeros(6, 5, dtype=torch.float64)}, "float64"),
        ({"negatives": torch.zeros(4, 6)}, "negatives has shape"),
        ({"negatives": torch.zeros(0, 5)}, "negatives has shape"),
        ({"negatives": torch.zeros(4)}, "negatives has shape"),
        ({"negatives": torch.zeros(4, 5, dtype=torch.float16)}, "negatives torch.float16"),
        ({"negatives": torch.zeros(4, 5, device="meta")}, "negatives on meta"),
        ({"h_pos": torch.zeros(6, 5, device="meta")}, "device"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": "0.1"}, "temperature"),
        ({"temperature": torch.tensor(-0.1)}, "temperature"),
        ({"temperature": torch.tensor(math.nan)}, "temperature"),
        ({"temperature": torch.tensor([0.1, 0.2])}, "one element"),
        ({"temperature": torch.tensor(1)}, "floating"),
        ({"temperature": torch.tensor(0.1, device="meta")}, "temperature on meta"),
        ({"anchors": "frist"}, "Did you mean 'first'"),
        ({"reduction": "meen"}, "Did you mean 'mean'"),
    ],
)
def test_refuses_invalid_arguments(change: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"h": torch.zeros(6, 5), "h_pos": torch.zeros(6, 5), "temperature": 0.1, **change}
    with pytest.raises(UsageError, match=says):
        info_nce(arguments.pop("h"), arguments.pop("h_pos"), **arguments)
