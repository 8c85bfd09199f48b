"""InfoNCE on the Triton kernels against the plain loss in float64, of the same inputs."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from copgen.kernels import info_nce as launches
from copgen.kernels import tile_table, wide
from copgen.objectives import info_nce, reference
from copgen.objectives.batch import Pairs
from tests.kernels.exact import DEVICE, Errors, embeddings, errors

Anchors = Literal["first", "both"]
ANCHORS: tuple[Anchors, ...] = ("first", "both")
PAIRS, WIDTHS = (2, 3, 63, 64, 65, 100, 140), (16, 48, 123, 128, 384)
TEMPERATURES = (0.5, 0.1, 0.07, 0.05, 0.02, 0.01)
DTYPES = (torch.float32, torch.float16)
# Every number of pairs with every width, but many wide rows, which take the interpreter long; temperature, dtype and
# direction alternate.
SHAPES = [
    (k, d, TEMPERATURES[(i + j) % 6], DTYPES[(i + j) % 2], ANCHORS[(i + j // 2) % 2])
    for i, k in enumerate(PAIRS)
    for j, d in enumerate(WIDTHS)
    if d < 384 or k <= 65
]


# A row's product with itself may exceed its log-sum-exp by more than float32 holds. The result is masked, but NumPy, on
# which the interpreter runs, warns.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

FAR, NEAR = 3.0, 0.7  # distance of the positives: hard or easy to tell from the negatives


def bound(dtype: torch.dtype, temperature: float, near: float = FAR) -> float:
    """The bound of a relative error.

    float16 has 11 bits. A loss near 0 is e^-difference, so its relative error is the absolute error of the difference
    of two float32 logits, each of up to 1 / tau and rounded a few times.
    """
    if dtype == torch.float16:
        return 1e-3
    won = 3 * torch.finfo(torch.float32).eps / temperature if near < FAR else 0.0
    return max(1e-5 if temperature <= 0.01 else 5e-6, won)


def check(found: Errors, dtype: torch.dtype, temperature: float, near: float = FAR) -> None:
    assert found.loss <= bound(dtype, temperature, near)
    assert found.gradient <= bound(dtype, temperature, near)


def compare(
    k: int, d: int, temperature: float, dtype: torch.dtype, anchors: Anchors, *, near: float = FAR, seed: int = 0
) -> Errors:
    """The errors for random unit rows, with positives at the distance `near`."""
    return errors(
        lambda h, h_pos: info_nce(h, h_pos, temperature=temperature, anchors=anchors, normalized=True),
        lambda h, h_pos: reference.info_nce(h, h_pos, None, temperature, both=anchors == "both").mean(),
        embeddings(k, d, dtype=dtype, near=near, seed=seed),
    )


@pytest.mark.parametrize(("k", "d", "temperature", "dtype", "anchors"), SHAPES)
def test_agrees_with_float64(k: int, d: int, temperature: float, dtype: torch.dtype, anchors: Anchors) -> None:
    check(compare(k, d, temperature, dtype, anchors), dtype, temperature)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("near", [NEAR, FAR])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_agrees_with_float64_at_every_temperature(temperature: float, near: float, dtype: torch.dtype) -> None:
    for anchors in ANCHORS:
        check(compare(40, 48, temperature, dtype, anchors, near=near), dtype, temperature, near)


@pytest.mark.soak
@pytest.mark.parametrize("near", [NEAR, FAR])
@pytest.mark.parametrize("anchors", ANCHORS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("d", WIDTHS)
@pytest.mark.parametrize("k", [*PAIRS, 257])
def test_agrees_with_float64_in_every_combination(
    k: int, d: int, temperature: float, dtype: torch.dtype, anchors: Anchors, near: float
) -> None:
    check(compare(k, d, temperature, dtype, anchors, near=near), dtype, temperature, near)


@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16])
def test_rows_of_any_length_are_normalized(dtype: torch.dtype, temperature: float) -> None:
    def exact(h: Tensor, h_pos: Tensor) -> Tensor:
        rows = [reference.normalize(x) for x in (h, h_pos)]
        return reference.info_nce(rows[0], rows[1], None, temperature, both=False).mean()

    found = errors(
        lambda h, h_pos: info_nce(h, h_pos, temperature=temperature),
        exact,
        [5.0 * x for x in embeddings(40, 48, dtype=dtype, near=FAR, unit=False)],
    )
    # 16-bit embeddings become float16 rows, once more rounded by 2^-11; a logit moves by that over tau, and bfloat16
    # gradients are rounded to 8 bits.
    rounded = 2.0**-11 / temperature + torch.finfo(dtype).eps
    limit = bound(dtype, temperature) if dtype == torch.float32 else rounded
    assert found.loss <= limit
    assert found.gradient <= limit


@pytest.mark.parametrize("d", [48, 384])
@pytest.mark.parametrize("anchors", ANCHORS)
def test_negatives_row_weights_and_a_learnt_temperature(anchors: Anchors, d: int) -> None:
    h, h_pos = embeddings(33, d, near=FAR)
    negatives = embeddings(21, d, seed=5)[0]
    tau = torch.tensor(0.2, device=DEVICE)
    weights = torch.randn(66 if anchors == "both" else 33, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    found = errors(
        lambda h, h_pos, q, t: info_nce(
            h, h_pos, negatives=q, temperature=t, anchors=anchors, normalized=True, reduction="none"
        ),
        lambda h, h_pos, q, t: reference.info_nce(h, h_pos, q, t, both=anchors == "both"),
        [h, h_pos, negatives, tau],
        upstream=weights,
    )
    check(found, torch.float32, 0.2)


@pytest.mark.parametrize("asked", range(4))
@pytest.mark.parametrize("d", [48, 384])
def test_each_gradient_can_be_asked_for_alone(asked: int, d: int) -> None:
    h, h_pos = embeddings(20, d)
    inputs = [h, h_pos, embeddings(7, d, seed=5)[0], torch.tensor(0.2, device=DEVICE)]

    def gradients(wanted: list[int]) -> list[Tensor | None]:
        own = [x.clone().requires_grad_(place in wanted) for place, x in enumerate(inputs)]
        info_nce(own[0], own[1], negatives=own[2], temperature=own[3], normalized=True).backward()  # type: ignore[no-untyped-call]
        return [x.grad for x in own]

    every, alone = gradients([0, 1, 2, 3]), gradients([asked])
    assert [g is None for g in alone] == [place != asked for place in range(4)]
    own, together = alone[asked], every[asked]
    assert own is not None
    assert together is not None
    torch.testing.assert_close(own, together, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.1, 0.02])
@pytest.mark.parametrize("case", ["a row twice", "both views alike", "all rows equal"])
def test_rows_that_coincide(case: str, temperature: float, dtype: torch.dtype) -> None:
    h, h_pos = embeddings(40, 48, dtype=dtype, near=FAR)
    if case == "a row twice":
        h[7], h_pos[21] = h[3], h_pos[3]
    elif case == "both views alike":
        h_pos = h.clone()
    else:
        h = h_pos = h[:1].expand(40, 48).contiguous()
    found = errors(
        lambda h, h_pos: info_nce(h, h_pos, temperature=temperature, anchors="both", normalized=True),
        lambda h, h_pos: reference.info_nce(h, h_pos, None, temperature, both=True).mean(),
        [h, h_pos],
    )
    assert found.loss <= bound(dtype, temperature)
    if case == "all rows equal":
        # The gradients of 79 equal rows cancel up to rounding, so a relative error has no meaning.
        return
    assert found.gradient <= bound(dtype, temperature)


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_rows_equal_give_the_chance_level_and_no_gradient(dtype: torch.dtype) -> None:
    h = torch.full((70, 16), 0.25, dtype=dtype, device=DEVICE).requires_grad_()
    loss = info_nce(h, h.detach(), temperature=0.1, reduction="none")
    torch.testing.assert_close(loss, torch.full_like(loss, 139.0).log(), rtol=1e-6, atol=0.0)
    (gradient,) = torch.autograd.grad(loss.mean(), h)
    # All gradients are along the row itself, about 1 / (70 tau) in total; normalisation removes them up to rounding.
    assert gradient.abs().amax() <= 16 * torch.finfo(torch.float32).eps / (70 * 0.1)


@pytest.mark.parametrize("anchors", ANCHORS)
def test_views_of_memory_that_are_not_contiguous(anchors: Anchors) -> None:
    big = torch.randn(48, 90, 2, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    h, h_pos = big[:, ::3, 0].T, big[:, 1::3, 1].T
    assert not h.is_contiguous()
    for normalized in (False, True):
        strided = info_nce(h, h_pos, temperature=0.5, anchors=anchors, normalized=normalized)
        plain = info_nce(h.contiguous(), h_pos.contiguous(), temperature=0.5, anchors=anchors, normalized=normalized)
        assert torch.equal(strided, plain)


@pytest.mark.parametrize("d", [48, 384])
@pytest.mark.parametrize("anchors", ANCHORS)
def test_twice_the_same_gives_the_same_bits(anchors: Anchors, d: int) -> None:
    def once() -> list[Tensor]:
        h, h_pos = (x.requires_grad_() for x in embeddings(40, d))
        loss = info_nce(h, h_pos, temperature=0.1, anchors=anchors)
        return [loss.detach(), *torch.autograd.grad(loss, (h, h_pos))]

    for first, second in zip(once(), once(), strict=True):
        assert torch.equal(first, second)


def test_the_order_of_the_pairs_does_not_matter() -> None:
    h, h_pos = (x.requires_grad_() for x in embeddings(70, 48))
    order = torch.randperm(70, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    loss = info_nce(h, h_pos, temperature=0.1)
    permuted = info_nce(h[order], h_pos[order], temperature=0.1)
    torch.testing.assert_close(loss, permuted, rtol=1e-6, atol=0.0)
    gradients = torch.autograd.grad(loss, (h, h_pos))
    for first, second in zip(gradients, torch.autograd.grad(permuted, (h, h_pos)), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-7)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # inf / inf, in NumPy
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_embedding_that_is_not_finite_makes_the_loss_nan(value: float) -> None:
    h, h_pos = embeddings(70, 48)
    h_pos[37, 2] = value
    for normalized in (False, True):
        assert info_nce(h, h_pos, temperature=0.1, normalized=normalized).isnan()


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("d", [48, 384])
@pytest.mark.parametrize("anchors", ANCHORS)
def test_columns_may_be_split(monkeypatch: pytest.MonkeyPatch, anchors: Anchors, d: int, splits: int) -> None:
    monkeypatch.setattr(launches, "forward_splits", lambda *launch: splits)
    monkeypatch.setattr(launches, "backward_splits", lambda *launch: splits)
    for temperature in (0.1, 0.02):
        check(compare(66, d, temperature, torch.float32, anchors), torch.float32, temperature)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("anchors", ANCHORS)
def test_the_tiles_of_large_batches(monkeypatch: pytest.MonkeyPatch, anchors: Anchors, dtype: torch.dtype) -> None:
    monkeypatch.setattr(tile_table, "FEW", 1)
    monkeypatch.setattr(launches, "MOST_SEARCHED", 1)
    check(compare(257, 123, 0.05, dtype, anchors), dtype, 0.05)


@pytest.mark.parametrize("anchors", ANCHORS)
def test_wide_rows_may_take_several_chunks_of_weights(monkeypatch: pytest.MonkeyPatch, anchors: Anchors) -> None:
    monkeypatch.setattr(wide, "CHUNK_BYTES", 1)  # 64 rows at a time, the minimum
    check(compare(80, 384, 0.1, torch.float16, anchors), torch.float16, 0.1)


@pytest.mark.parametrize("d", [48, 384])
@pytest.mark.parametrize("anchors", ANCHORS)
def test_rows_of_one_rank_against_those_of_all(anchors: Anchors, d: int) -> None:
    """Two ranks' losses and gradients, given the numbers of all rows, equal those of one process."""
    both = anchors == "both"
    h_all, h_pos_all = embeddings(40, d, near=FAR)
    settings = (both, 0.2, True, torch.float32)
    parts = [
        Pairs([h_all[o : o + 20].clone(), h_pos_all[o : o + 20].clone()], [], h_all, h_pos_all, o, *settings)
        for o in (0, 20)
    ]
    one = Pairs([h_all, h_pos_all], [], h_all, h_pos_all, 0, *settings)
    forwards = [launches.forward(pairs, mean=False) for pairs in parts]
    whole = launches.forward(one, mean=False)

    def gathered(place: int) -> Tensor:
        return torch.cat([f[place].view(1 + both, 20) for f in forwards], dim=1).flatten()

    for place in range(3):
        torch.testing.assert_close(gathered(place), whole[place], rtol=2e-5, atol=1e-6)
    weight = torch.randn(40 * (1 + both), generator=torch.Generator().manual_seed(4)).to(DEVICE)
    rest: dict[str, Any] = {"lse_all": gathered(1), "weight_all": weight, "lost_all": gathered(2)}
    rest |= {"scale": 1.0, "needs": [True, True, False]}
    expected, _ = launches.backward(one, **rest)
    found = [launches.backward(pairs, **rest)[0] for pairs in parts]
    for place in range(2):
        own = [part[place] for part in found]
        assert all(x is not None for x in own)
        torch.testing.assert_close(torch.cat([x for x in own if x is not None]), expected[place], rtol=1e-4, atol=1e-5)
