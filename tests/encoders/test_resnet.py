"""The backbones: torchvision's names and values, and the supported image sizes."""

from __future__ import annotations

import pytest
import torch
import torchvision

from copgen.encoders import Projector, ResNet, build
from copgen.encoders.resnet import Stem
from copgen.runtime.errors import UsageError


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50"])
def test_names_and_shapes_are_torchvisions_without_the_classifier(arch: str) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, arch)(weights=None).state_dict()
        ours = build(arch).state_dict()
    expected = {name: tensor.shape for name, tensor in theirs.items() if not name.startswith("fc.")}
    assert {name: tensor.shape for name, tensor in ours.items()} == expected


def test_features_are_torchvisions() -> None:
    theirs = torchvision.models.resnet18(weights=None).eval()
    theirs.fc = torch.nn.Identity()
    ours = build("resnet18").eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("arch", "stem", "size", "feature_dim"),
    [
        ("digits", None, 8, 64),
        ("digits", None, 28, 64),
        ("resnet18", "small", 8, 512),
        ("resnet18", None, 28, 512),
        ("resnet34", None, 28, 512),
        ("resnet50", "small", 8, 2048),
    ],
)
def test_images_become_features(arch: str, stem: Stem | None, size: int, feature_dim: int) -> None:
    backbone = build(arch, 1, stem=stem).eval()
    with torch.no_grad():
        features = backbone(torch.zeros(2, 1, size, size))
    assert backbone.feature_dim == feature_dim
    assert features.shape == (2, feature_dim)


def test_the_small_stem_keeps_the_resolution_and_the_imagenet_stem_quarters_it() -> None:
    x = torch.zeros(1, 3, 32, 32)
    for stem, size in (("small", 32), ("imagenet", 8)):
        backbone = build("resnet18", stem=stem)  # type: ignore[arg-type]
        assert backbone.maxpool(backbone.conv1(x)).shape[-2:] == (size, size)


def test_convolutions_start_from_he_normal_fan_out() -> None:
    torch.manual_seed(0)
    weight = build("resnet18").get_submodule("layer4.0.conv1").weight
    assert isinstance(weight, torch.Tensor)
    expected = (2.0 / (512 * 9)) ** 0.5  # 256 channels in, 512 out
    # The standard error of a standard deviation from n values is std / sqrt(2 n).
    assert weight.std().item() == pytest.approx(expected, rel=5 / (2 * weight.numel()) ** 0.5)


def test_gradients_reach_every_parameter_and_the_images() -> None:
    backbone: ResNet = build("digits", 1)
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    backbone(x).square().sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in backbone.parameters())


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'resnet19'.* 'resnet18'"):
        build("resnet19")
    with pytest.raises(UsageError, match=r"'smal'.* 'small'"):
        build("resnet18", stem="smal")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="in_channels is 0"):
        build("resnet18", 0)


def test_the_projector_is_linear_relu_linear_without_normalisation() -> None:
    projector = Projector(512)
    shapes = {name: tuple(tensor.shape) for name, tensor in projector.state_dict().items()}
    assert shapes == {
        "net.0.weight": (512, 512),
        "net.0.bias": (512,),
        "net.2.weight": (128, 512),
        "net.2.bias": (128,),
    }
    assert Projector(64, 32, 16)(torch.zeros(3, 64)).shape == (3, 16)
