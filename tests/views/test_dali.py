"""DALI's views are those of the other backends, with the same parameters."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from copgen.data.decoding import decode
from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.views import Policy, apply_each, dali, draw, names, policy
from copgen.views.policies import AffinePolicy
from tests.data.encoded import file, picture

CPU = torch.device("cpu")
LEVEL = 1 / 255


def sides(images: list[Tensor]) -> Tensor:
    return torch.tensor([image.shape[1:] for image in images])


def differences(numbers: Policy, *, kind: str = "PNG", channels: int = 3, views: int = 1, streams: int = 1) -> Tensor:
    """Between DALI's views and ours, in grey levels: (V, N, C, S, S)."""
    shapes = [(64, 64), (48, 70), (100, 60), (64, 64)] * 6
    encoded = [
        [file(picture(n + 100 * stream, shape, channels=channels), kind) for n, shape in enumerate(shapes)]
        for stream in range(streams)
    ]
    decoded = [[decode(data, channels, "image") for data in files] for files in encoded]
    sizes = [sides(images) for images in decoded]
    drawn = [
        draw(numbers, seed=1, rows=range(len(shapes)), stream=f"{view}", size=sizes[view % streams])
        for view in range(views)
    ]
    size = numbers.size or 64
    graph = dali.DaliViews(
        numbers,
        channels=channels,
        size=(size, size),
        streams=streams,
        views=views,
        batch=len(shapes),
        device=CPU,
        threads=1,
    )
    theirs = graph(encoded, sizes, drawn)
    ours = [apply_each(decoded[view % streams], numbers, drawn[view]) for view in range(views)]
    std = torch.tensor(numbers.normalise.std if numbers.normalise is not None else (1.0,) * channels)
    return (torch.stack(theirs) - torch.stack(ours)) * std[:, None, None] / LEVEL


needs_dali = pytest.mark.skipif(not dali.is_installed(), reason="DALI is not installed")
POLICIES = [policy(name, size=48) for name in names() if policy(name).differentiable]


@needs_dali
@pytest.mark.parametrize("numbers", POLICIES, ids=lambda numbers: numbers.name)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_views_agree_within_a_level(numbers: Policy, kind: str) -> None:
    error = differences(numbers, kind=kind).abs()
    assert error.mean() < 0.1  # the issue asks for 2
    assert error.max() < (3 if numbers.affine is None else 20)  # fill and image mix at the edge of a moved image


@needs_dali
def test_every_part_agrees_at_once() -> None:
    numbers = policy("simclr-blur", affine={"degrees": 40, "fill": 0.3}, size=56)
    error = differences(numbers).abs()
    assert error.mean() < 0.1
    assert error.max() < 3


@needs_dali
@pytest.mark.parametrize("name", ["mnist", "simclr"])
def test_one_channel_takes_the_parts_that_have_a_meaning(name: str) -> None:
    numbers = policy(name, size=48, normalise=None)
    error = differences(numbers, channels=1).abs()
    assert error.mean() < 0.1
    assert error.max() < (3 if numbers.affine is None else 20)


@needs_dali
@pytest.mark.parametrize("streams", [1, 3])
def test_several_views_are_made_of_one_image_or_of_their_own(streams: int) -> None:
    error = differences(policy("simclr", size=48), views=3, streams=streams).abs()
    assert error.shape[0] == 3
    assert error.mean() < 0.1


@needs_dali
def test_the_same_batch_gives_the_same_views_after_others() -> None:
    numbers, images = policy("simclr-blur", size=48), [picture(n, (64, 64)) for n in range(12)]
    files, sizes = [file(image, "PNG") for image in images], sides(images)
    graph = dali.DaliViews(numbers, channels=3, size=(48, 48), streams=1, views=1, batch=12, device=CPU, threads=2)

    def views(rows: range) -> Tensor:
        drawn = draw(numbers, seed=1, rows=rows, stream="view", size=sizes[rows.start : rows.stop])
        return graph([files[rows.start : rows.stop]], [sizes[rows.start : rows.stop]], [drawn])[0]

    whole, part = views(range(12)), views(range(3, 8))
    assert torch.equal(views(range(12)), whole)
    assert torch.equal(part, whole[3:8])


@needs_dali
@pytest.mark.parametrize("data", [b"no image", b""])
def test_an_image_that_is_none_is_a_failure_of_the_batch(data: bytes) -> None:
    numbers, sizes = policy("none", size=16), torch.tensor([[16, 16]])
    graph = dali.DaliViews(numbers, channels=3, size=(16, 16), streams=1, views=1, batch=1, device=CPU, threads=1)
    drawn = draw(numbers, seed=0, rows=range(1), stream="view", size=sizes)
    with pytest.raises(dali.GraphFailed):
        graph([[data]], [sizes], [drawn])


@needs_dali
def test_a_device_that_is_not_there_is_a_fault_of_the_environment() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(EnvironmentFault, match=r"DALI cannot start(?s:.*)--loader torch"):
        dali.DaliViews(
            policy("none"),
            channels=3,
            size=(8, 8),
            streams=1,
            views=1,
            batch=1,
            device=torch.device("cuda"),
            threads=1,
        )


def test_rand_augment_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'infomin'(?s:.*)--loader torch"):
        dali.check_policy(policy("infomin"))


def test_without_dali_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "copgen.views._dali_graph", raising=False)
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    monkeypatch.setitem(sys.modules, "nvidia.dali.fn", None)
    assert not dali.is_installed()
    with pytest.raises(EnvironmentFault, match=r"(?s)DALI.*pip install 'copgen\[dali\]'.*--loader torch"):
        dali.DaliViews(
            Policy(name="shift", affine=AffinePolicy()),
            channels=1,
            size=(8, 8),
            streams=1,
            views=1,
            batch=1,
            device=CPU,
            threads=1,
        )
