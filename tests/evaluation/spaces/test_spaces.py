"""Every feature space: its shape, that it depends on each image alone, and what happens to wrong names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.evaluation.spaces import check_space, open_space
from copgen.evaluation.spaces.space import BLOCK
from copgen.runtime import philox
from copgen.runtime.errors import CopgenError, ExitCode
from copgen.runtime.events import Silent

CPU = torch.device("cpu")
NAMES = ("pixels", "encoder", "efficientnet-lite0")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(folder, build("digits", 1), config, {})
    return folder


def named(name: str, encoder: Path) -> str:
    return f"encoder:{encoder}" if name == "encoder" else name


def images(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    drawn = philox.uniform(0, range(count), channels * height * width, stream="test/spaces")
    return (2.0 * drawn.float() - 1.0).view(count, channels, height, width)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 20, 31)])
def test_features_have_the_dimension_of_the_space(
    name: str, channels: int, height: int, width: int, encoder: Path
) -> None:
    space = open_space(named(name, encoder), device=CPU, events=Silent())
    features = space(images(3, channels, height, width))
    assert features.shape == (3, space.dim)
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    assert space.name == named(name, encoder)
    assert all(len(digest) == 64 for digest in space.inputs.values())
    assert ("FID" in space.text) is False


@pytest.mark.parametrize("name", NAMES)
def test_features_depend_on_each_image_alone(name: str, encoder: Path) -> None:
    space = open_space(named(name, encoder), device=CPU, events=Silent())
    several = images(5, 1, 8, 8)
    alone = torch.cat([space(one[None]) for one in several])
    torch.testing.assert_close(space(several), alone, rtol=1e-4, atol=1e-4)


def test_more_images_than_a_block(encoder: Path) -> None:
    space = open_space(f"encoder:{encoder}", device=CPU, events=Silent())
    assert space(images(BLOCK + 1, 1, 8, 8)).shape == (BLOCK + 1, space.dim)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("efficientnet", ExitCode.USAGE, "efficientnet-lite0"),
        ("pixels:x", ExitCode.USAGE, "pixels"),
        ("clip-vit", ExitCode.USAGE, "Known|mean"),
        ("inception:x", ExitCode.USAGE, "inception"),
        ("dinov2:", ExitCode.USAGE, "dinov2"),
        ("dinov2:nowhere.pth", ExitCode.DATA, "nowhere.pth"),
        ("encoder", ExitCode.USAGE, "encoder:runs/pretrain"),
        ("encoder:", ExitCode.USAGE, "encoder:runs/pretrain"),
        ("encoder:nowhere", ExitCode.DATA, "nowhere"),
    ],
)
def test_a_wrong_name_is_refused(name: str, code: ExitCode, said: str) -> None:
    with pytest.raises(CopgenError, match=said) as caught:
        open_space(name, device=CPU, events=Silent())
    assert caught.value.code == code
    if code == ExitCode.USAGE:
        with pytest.raises(CopgenError, match=said):
            check_space(name)


@pytest.mark.parametrize("name", NAMES)
def test_features_have_a_gradient_only_where_the_images_ask_for_one(name: str, encoder: Path) -> None:
    space = open_space(named(name, encoder), device=CPU, events=Silent())
    asked = images(2, 1, 8, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(space(asked).square().sum(), asked)
    assert gradient.isfinite().all()
    assert bool((gradient.abs().amax(dim=(1, 2, 3)) > 0).all())
    assert not space(images(2, 1, 8, 8)).requires_grad
