"""The random parameters: functions of (seed, stream, row), in their ranges, distributed as torchvision's."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import RandomResizedCrop

from copgen.runtime import philox
from copgen.views import Draw, Policy, draw, drawing, policy
from copgen.views.policies import AffinePolicy, CropPolicy

N = 6000
FULL = policy("simclr").model_copy(update={"affine": AffinePolicy()})


def parameters(drawn: Draw) -> dict[str, Tensor]:
    return {
        f"{part}.{field.name}": getattr(getattr(drawn, part), field.name)
        for part in ("affine", "crop", "colour")
        for field in dataclasses.fields(getattr(drawn, part))
    }


def make(
    numbers: Policy = FULL,
    *,
    rows: range = range(N),
    size: tuple[int, int] = (28, 28),
    seed: int = 0,
    stream: str = "view/anchor",
) -> Draw:
    return draw(numbers, seed=seed, rows=rows, stream=stream, size=size)


@pytest.mark.parametrize(("seed", "stream"), [(1, "view/anchor"), (0, "view/positive")])
def test_another_seed_or_stream_draws_another_view(seed: int, stream: str) -> None:
    other = parameters(make(rows=range(200), seed=seed, stream=stream))
    for name, values in parameters(make(rows=range(200))).items():
        assert not torch.equal(values, other[name]), name


@pytest.mark.parametrize("absent", ["affine", "crop", "jitter"])
def test_leaving_a_part_out_leaves_the_others_as_they_were(absent: str) -> None:
    without = parameters(make(FULL.model_copy(update={absent: None}), rows=range(50)))
    changed = {
        name for name, values in parameters(make(rows=range(50))).items() if not torch.equal(values, without[name])
    }
    part = "colour" if absent == "jitter" else absent
    assert changed
    assert all(name.startswith(part) for name in changed)
    assert not changed & {"crop.flip", "colour.grayscale", "colour.order"}


def test_parts_that_a_policy_lacks_are_drawn_as_the_identity() -> None:
    drawn = make(policy("none"), rows=range(5), size=(7, 9))
    ones = torch.ones(5, dtype=torch.float64)
    for values in (drawn.affine.angle, drawn.affine.shift_x, drawn.affine.shift_y, drawn.colour.hue):
        assert torch.equal(values, 0 * ones)
    for values in (drawn.affine.scale, drawn.colour.brightness, drawn.colour.contrast, drawn.colour.saturation):
        assert torch.equal(values, ones)
    for mask in (drawn.crop.flip, drawn.colour.jitter, drawn.colour.grayscale):
        assert not mask.any()
    boxes = torch.stack((drawn.crop.top, drawn.crop.left, drawn.crop.height, drawn.crop.width), dim=1)
    assert boxes.tolist() == [[0, 0, 7, 9]] * 5


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("affine.angle", -10, 10),
        ("affine.shift_x", -4.7, 4.7),
        ("affine.shift_y", -3.3, 3.3),
        ("affine.scale", 0.9, 1.1),
        ("colour.brightness", 0.6, 1.4),
        ("colour.contrast", 0.6, 1.4),
        ("colour.saturation", 0.6, 1.4),
        ("colour.hue", -0.1, 0.1),
    ],
)
def test_numbers_are_uniform_in_their_range(name: str, low: float, high: float) -> None:
    unit = (parameters(make(size=(33, 47)))[name] - low) / (high - low)
    assert unit.min() > 0
    assert unit.max() < 1
    deviation = (unit.sort().values - torch.arange(N) / N).abs().max().item()
    assert deviation < 2.0 / math.sqrt(N)  # Kolmogorov and Smirnov: exceeded with probability 7e-4


@pytest.mark.parametrize(("name", "share"), [("crop.flip", 0.5), ("colour.jitter", 0.8), ("colour.grayscale", 0.2)])
def test_masks_have_their_probability(name: str, share: float) -> None:
    mask = parameters(make())[name]
    assert mask.dtype == torch.bool
    assert abs(mask.double().mean().item() - share) < 4 * math.sqrt(share * (1 - share) / N)


def test_all_orders_are_drawn_equally_often() -> None:
    counts = torch.bincount(make().colour.order, minlength=24)
    assert len(counts) == 24
    expected = N / 24
    assert (((counts - expected) ** 2) / expected).sum() < 52  # chi-squared, 23 degrees of freedom: probability 5e-4


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (33, 47), (8, 64), (64, 8)])
@pytest.mark.parametrize("area", [(0.2, 1.0), (0.9, 1.0)])
def test_boxes_are_distributed_as_torchvisions(size: tuple[int, int], area: tuple[float, float]) -> None:
    numbers = CropPolicy(area=area)
    box = make(policy("simclr").model_copy(update={"crop": numbers}), size=size).crop
    ours = torch.stack((box.top, box.left, box.height, box.width), dim=1)
    assert ours.dtype == torch.int64
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 2:] >= 1).all()
    assert (ours[:, :2] + ours[:, 2:] <= torch.tensor(size)).all()

    with torch.random.fork_rng():
        torch.manual_seed(0)
        image, ranges = torch.empty(1, *size), (list(numbers.area), list(numbers.aspect))
        theirs = torch.tensor([RandomResizedCrop.get_params(image, *ranges) for _ in range(1500)])
    for moments in (lambda x: x, torch.square, lambda x: x * x.roll(1, dims=1)):
        a, b = moments(ours.double()), moments(theirs.double())
        error = (a.var(dim=0) / len(a) + b.var(dim=0) / len(b)).sqrt()
        assert ((a.mean(dim=0) - b.mean(dim=0)).abs() <= 4.5 * error + 1e-9).all()


@pytest.mark.parametrize(("size", "box"), [((10, 100), [0, 43, 10, 13]), ((100, 10), [43, 0, 13, 10])])
def test_an_image_that_no_box_fits_is_cropped_in_the_middle(size: tuple[int, int], box: list[int]) -> None:
    drawn = make(policy("simclr").model_copy(update={"crop": CropPolicy(area=(1, 1))}), rows=range(3), size=size).crop
    assert torch.stack((drawn.top, drawn.left, drawn.height, drawn.width), dim=1).tolist() == [box] * 3


@pytest.mark.parametrize("area", [(0.2, 1.0), (1.0, 1.0)])
def test_sizes_of_each_image_draw_what_each_size_draws_alone(area: tuple[float, float]) -> None:
    numbers = FULL.model_copy(update={"crop": CropPolicy(area=area)})
    sizes = [(28, 28), (10, 100), (100, 10), (33, 47), (1, 1)]
    rows = range(500)
    mixed = torch.tensor([sizes[row % len(sizes)] for row in rows])
    together = parameters(draw(numbers, seed=0, rows=rows, stream="view", size=mixed))
    for k, size in enumerate(sizes):
        alone = parameters(make(numbers, rows=rows, size=size, stream="view"))
        for name, values in together.items():
            assert torch.equal(values[k :: len(sizes)], alone[name][k :: len(sizes)]), name


@pytest.mark.parametrize(
    ("size", "out", "box"),
    [
        ((128, 128), None, [8, 8, 112, 112]),
        ((128, 128), 128, [8, 8, 112, 112]),
        ((64, 128), None, [4, 8, 56, 112]),
        ((64, 128), 32, [4, 36, 56, 56]),
        ((1, 1), None, [0, 0, 1, 1]),
    ],
)
def test_the_centre_has_the_shape_of_the_views(size: tuple[int, int], out: int | None, box: list[int]) -> None:
    drawn = make(policy("centre").model_copy(update={"size": out}), rows=range(2), size=size).crop
    assert torch.stack((drawn.top, drawn.left, drawn.height, drawn.width), dim=1).tolist() == [box] * 2


class OnCuda(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that a GPU would launch."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.count += isinstance(found, Tensor) and found.device.type == "cuda" and not func.is_view
        return found


@pytest.mark.parametrize("name", ["simclr", "infomin", "mnist"])
def test_parameters_for_cuda_are_drawn_on_the_cpu_and_copied_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    with FakeTensorMode(allow_non_fake_inputs=True), OnCuda() as operations:
        drawn = draw(policy(name), seed=0, rows=range(176), stream="view", size=(128, 128), device="cuda")
    assert drawn.crop.flip.device.type == "cuda"
    assert operations.count <= 20  # some three hundred, drawn there


@pytest.mark.parametrize("numbers", [FULL, policy("infomin"), policy("none")], ids=["full", "infomin", "none"])
@pytest.mark.parametrize("rows", [range(40), range(0)], ids=len)
def test_a_copy_of_the_parameters_is_exact(numbers: Policy, rows: range) -> None:
    drawn = make(numbers, rows=rows)
    moved = drawing._moved(drawn, torch.device("cpu"))
    for part in dataclasses.fields(drawn):
        for field in dataclasses.fields(getattr(drawn, part.name)):
            one, other = (getattr(getattr(each, part.name), field.name) for each in (drawn, moved))
            assert one.dtype == other.dtype
            assert torch.equal(one, other), f"{part.name}.{field.name}"


def test_the_plain_words_draw_the_same_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    native = parameters(make(rows=range(9)))
    monkeypatch.setattr(philox, "choose", lambda *_: SimpleNamespace(name="reference"))
    for name, values in parameters(make(rows=range(9))).items():
        assert torch.equal(values, native[name]), name
