"""Exported files: torchvision and timm load them strictly and compute the same; detectron2 finds its names."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from copgen.encoders import Encoder, EncoderConfig, build, load
from copgen.encoders.export import export_encoder, normalisation_of, usage
from copgen.encoders.resnet import Stem
from copgen.runtime.errors import UsageError

# By the rule of detectron2's tools/convert-torchvision-to-d2.py, written out.
DETECTRON2 = {
    "conv1.weight": "stem.conv1.weight",
    "bn1.weight": "stem.conv1.norm.weight",
    "bn1.running_var": "stem.conv1.norm.running_var",
    "layer1.0.conv1.weight": "res2.0.conv1.weight",
    "layer1.0.bn1.bias": "res2.0.conv1.norm.bias",
    "layer1.0.conv2.weight": "res2.0.conv2.weight",
    "layer1.0.bn2.running_mean": "res2.0.conv2.norm.running_mean",
    "layer1.0.conv3.weight": "res2.0.conv3.weight",
    "layer1.0.bn3.num_batches_tracked": "res2.0.conv3.norm.num_batches_tracked",
    "layer1.0.downsample.0.weight": "res2.0.shortcut.weight",
    "layer1.0.downsample.1.weight": "res2.0.shortcut.norm.weight",
    "layer2.3.conv1.weight": "res3.3.conv1.weight",
    "layer3.5.bn3.weight": "res4.5.conv3.norm.weight",
    "layer4.0.downsample.1.running_var": "res5.0.shortcut.norm.running_var",
    "layer4.2.conv3.weight": "res5.2.conv3.weight",
}


def encoder(arch: str, channels: int = 3, stem: Stem | None = None, views: str = "simclr") -> Encoder:
    """An encoder whose batch norms have statistics."""
    torch.manual_seed(0)
    backbone = build(arch, channels, stem=stem).train()
    with torch.no_grad():
        backbone(torch.randn(2, channels, 32, 32))
    config = EncoderConfig(arch=arch, in_channels=channels, image_size=32, views=views, stem=stem)
    return Encoder(backbone, config, {"stage": "a test"})


@pytest.mark.parametrize("to", ["torchvision", "timm"])
@pytest.mark.parametrize(
    ("arch", "channels", "stem", "name"),
    [
        ("resnet50", 3, None, "a.safetensors"),
        ("resnet34", 3, None, "a.pth"),
        ("resnet18", 1, None, "a.pth"),
        ("resnet18", 3, "small", "a.safetensors"),
        ("resnet18", 1, "small", "a.pt"),
    ],
)
def test_the_printed_lines_load_it_strictly_with_equal_features(
    to: str, arch: str, channels: int, stem: Stem | None, name: str, tmp_path: Path
) -> None:
    ours, path = encoder(arch, channels, stem), tmp_path / name
    export_encoder(ours, path, to=to)
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's use of torch.jit
        pytest.importorskip(to)
        exec("\n".join(usage(ours.config, path, to=to)), found)
    x = torch.randn(2, channels, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(found["model"].eval()(x), ours.backbone(x), rtol=1e-5, atol=1e-5)


def test_without_the_lines_only_the_classifier_is_missing(tmp_path: Path) -> None:
    export_encoder(encoder("resnet50"), tmp_path / "a.pth", to="torchvision")
    tensors = torch.load(tmp_path / "a.pth", weights_only=True)
    found = torchvision.models.resnet50().load_state_dict(tensors, strict=False)
    assert (found.missing_keys, found.unexpected_keys) == (["fc.weight", "fc.bias"], [])


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_copgen_reads_back_what_it_exports(name: str, tmp_path: Path) -> None:
    ours = encoder("resnet18")
    export_encoder(ours, tmp_path / name, to="timm")
    read = load(tmp_path / name, image_size=32)
    assert read.config == ours.config
    assert all(torch.equal(read.state_dict()[name], tensor) for name, tensor in ours.state_dict().items())
    digests = set()
    for _ in range(2):
        export_encoder(ours, tmp_path / name, to="timm")
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["a.pkl", "a.pth"])
def test_the_names_of_detectron2(name: str, tmp_path: Path) -> None:
    ours = encoder("resnet50")
    export_encoder(ours, tmp_path / name, to="detectron2")
    if name == "a.pkl":
        content = pickle.loads((tmp_path / name).read_bytes())
        content["model"] = {key: torch.from_numpy(array) for key, array in content["model"].items()}
    else:
        content = torch.load(tmp_path / name, weights_only=True)
    assert (content["__author__"], content["matching_heuristics"]) == ("copgen", True)
    own = ours.backbone.state_dict()
    assert len(content["model"]) == len(own)
    for mine, theirs in DETECTRON2.items():
        assert torch.equal(content["model"][theirs], own[mine]), mine
    roots = {key.partition(".")[0] for key in content["model"]}
    assert roots == {"stem", "res2", "res3", "res4", "res5"}
    assert not [key for key in content["model"] if "bn" in key or "layer" in key or "downsample" in key]


def test_the_configuration_of_detectron2() -> None:
    lines = usage(encoder("resnet50").config, Path("R-50.pkl"), to="detectron2")
    assert lines[:6] == [
        "MODEL:",
        '  WEIGHTS: "R-50.pkl"',
        "  PIXEL_MEAN: [123.675, 116.28, 103.53]",
        "  PIXEL_STD: [58.395, 57.12, 57.375]",
        "  RESNETS:",
        "    DEPTH: 50",
    ]
    assert lines[6:] == ["    STRIDE_IN_1X1: False", "INPUT:", '  FORMAT: "RGB"']
    gray = usage(encoder("resnet18", 1, views="mnist").config, Path("a.pkl"), to="detectron2")
    for line in ("  PIXEL_MEAN: [0]", "  PIXEL_STD: [255]", "    RES2_OUT_CHANNELS: 64", '  FORMAT: "L"'):
        assert line in gray


def test_the_normalisation_is_that_of_the_views() -> None:
    assert normalisation_of(encoder("resnet18").config).mean == (0.485, 0.456, 0.406)
    plain = normalisation_of(encoder("resnet18", 1, views="mnist").config)
    assert (plain.mean, plain.std) == ((0.0,), (1.0,))


@pytest.mark.parametrize(
    ("how", "to", "name", "subject"),
    [
        ({"arch": "resnet18"}, "tensorflow", "a.pth", "'tensorflow'"),
        ({"arch": "resnet18"}, "timm", "a.pkl", r"a\.pkl.*a\.safetensors"),
        ({"arch": "resnet18"}, "detectron2", "a.safetensors", r"\.pkl or \.pth"),
        ({"arch": "digits", "channels": 1}, "torchvision", "a.pth", "'digits'"),
        ({"arch": "resnet18", "stem": "small"}, "detectron2", "a.pkl", "'small'"),
        ({"arch": "resnet18", "channels": 2, "views": "mnist"}, "detectron2", "a.pkl", "2 channels"),
    ],
)
def test_what_a_program_does_not_have_is_refused(
    how: dict[str, Any], to: str, name: str, subject: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=subject):
        export_encoder(encoder(**how), tmp_path / name, to=to)
    assert list(tmp_path.iterdir()) == []
