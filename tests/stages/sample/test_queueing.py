"""A batch is queued on the device without waiting for it; whoever takes its pairs waits, and checks them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from copgen.generators.conditions import Conditions, check_rows
from copgen.latents.transforms import Gaussian, Identity, Random
from copgen.pairs import FilterRules, TransformSource
from copgen.runtime.errors import DataError
from copgen.stages.sample.batches import make_batches, make_pairs
from copgen.stages.sample.pair_source import Source
from copgen.stages.sample.queued_pairs import QueuedPairs
from copgen.stages.sample.transform import Positives
from tests.pairs import folders
from tests.stages.painter import Painter

PLAN = folders.plan(pairs=70, pairs_per_shard=30, batch=16, image_shape=(1, 8, 8))


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records what makes the calling thread wait for the device."""

    READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.noted: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        device = args[0].device.type if args and isinstance(args[0], torch.Tensor) else "none"
        moved = isinstance(found, torch.Tensor) and {device, found.device.type} == {"cpu", "cuda"}
        if (func in self.READS and device == "cuda") or (moved and not (kwargs or {}).get("non_blocking")):
            self.noted.append(str(func))
        return found


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinned memory and events, which need a driver, as if there were one."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "Event", lambda blocking: SimpleNamespace(record=lambda stream: None))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)


def painted(*transforms: Any, dtype: torch.dtype = torch.float32) -> Source:
    return Source(Painter(dtype), Positives(transforms, TransformSource(name="gaussian")))


@pytest.mark.parametrize(
    "transform", [Identity(), Gaussian(0.3, 0), Random(Painter().prior, 0)], ids=lambda t: str(t)[:8]
)
def test_queueing_a_batch_waits_for_nothing(pinned: None, transform: Any) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        source = painted(transform)
        for name in ("strokes", "patterns"):
            setattr(source.G, name, torch.nn.Parameter(getattr(source.G, name).to("cuda"), requires_grad=False))
        with Waits() as waits:
            queued = make_pairs(source, PLAN, range(16))
        assert waits.noted == []
        assert {images.device.type for images in queued.images} == {"cpu"}
        with Waits() as waits:
            torch.zeros(3, device="cuda").cpu()
        assert len(waits.noted) == 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda rows: Conditions(only=(2, 5)).draw(rows, 7, seed=0, device=torch.device("cuda")),
        lambda rows: check_rows(torch.arange(9, device="cuda"), 9, name="G", kind="class", vector="weights"),
    ],
    ids=["chosen", "checked"],
)
def test_conditions_wait_for_nothing(pinned: None, draw: Callable[[range], torch.Tensor]) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), Waits() as waits:
        assert draw(range(20)).device.type == "cuda"
    assert waits.noted == []


def test_balanced_conditions_are_dealt_on_the_cpu() -> None:
    # A meta tensor, unlike a fake one, lets other tensors have values; to read one of its own is an error.
    dealt = Conditions(rule="balanced").draw(range(20), 7, seed=0, device=torch.device("meta"))
    assert (dealt.device.type, dealt.shape) == ("meta", (20,))


def test_pairs_are_the_same_however_they_are_taken() -> None:
    (queued,) = make_batches(painted(Gaussian(0.3, 0), Gaussian(0.3, 0, which=1)), two_positives(), 2)
    assert len(queued) == 10
    straight = list(queued)
    for places in (slice(0, 3), slice(3, 10), slice(8, 20)):
        for one, other in zip(straight[places], queued[places], strict=True):
            assert (one.index, one.metadata, one.rejected) == (other.index, other.metadata, other.rejected)
            assert torch.equal(one.anchor, other.anchor)
            assert all(map(torch.equal, one.positives, other.positives))
    assert queued[-1].index == straight[-1].index == 69
    with pytest.raises(IndexError):
        queued[10]


def two_positives() -> Any:
    return PLAN.model_copy(update={"positives": 2})


@pytest.mark.parametrize("rules", [None, FilterRules(max_d=9.0, attempts=2)])
@pytest.mark.parametrize("place", [None, 3])
def test_the_pair_with_an_image_that_is_not_finite_is_named(
    monkeypatch: pytest.MonkeyPatch, rules: FilterRules | None, place: int | None
) -> None:
    real = Painter.forward
    calls: list[int] = []

    def broken(self: Painter, z: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        images = real(self, z, condition)
        calls.append(len(z))
        if len(calls) == 4:  # the positives of the second batch
            images[slice(None) if place is None else place, 0, 2, 2] = torch.nan
        return images

    monkeypatch.setattr(Painter, "forward", broken)
    plan = PLAN.model_copy(update={"filter": rules})
    first, second = make_batches(painted(Gaussian(0.3, 0)), plan, 0)
    assert len(list(first)) == 16
    with pytest.raises(DataError, match=rf"positive of pair {16 + (place or 0)} .* not finite") as caught:
        second[10:12]
    assert ("13 other images" in str(caught.value)) == (place is None)
    assert isinstance(second, QueuedPairs)
