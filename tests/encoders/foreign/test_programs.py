"""Checkpoints as other programs write them: the encoder is found, and computes what their network computes."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from copgen.encoders import EncoderConfig, ResNet, build, load, load_foreign
from copgen.runtime.errors import DataError
from copgen.storage.files import sha256_of

IMAGES = 2.0 * torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 1.0
MEAN, STD = torch.tensor((0.485, 0.456, 0.406))[:, None, None], torch.tensor((0.229, 0.224, 0.225))[:, None, None]
NORMALISED = ((IMAGES + 1.0) / 2.0 - MEAN) / STD

# Where programs keep the backbone: nested dictionaries, and the prefix of the names in the innermost.
PLACES = {
    "torchvision": ((), ""),
    "torchvision references": (("model",), ""),
    "timm": (("state_dict",), "module."),
    "timm, compiled": (("state_dict",), "_orig_mod."),
    "MoCo": (("state_dict",), "module.encoder_q."),
    "MoCo v3": (("state_dict",), "module.base_encoder."),
    "SimCLR": ((), "encoder."),
    "SupContrast, one GPU": (("model",), "encoder."),
    "lightly": (("state_dict",), "backbone."),
    "solo-learn": (("state_dict",), "backbone."),
    "solo-learn 1": (("state_dict",), "encoder."),
    "Lightning": (("state_dict",), "model."),
    "DINO": (("teacher",), "backbone."),
    "VISSL": (("classy_state_dict", "base_model", "model", "trunk"), "_feature_blocks."),
    "some other": (("a", "b"), "c.d."),
}


def trained(net: Any) -> Any:
    """A network with statistics in its batch norms, in evaluation mode."""
    net.train()
    with torch.no_grad():
        net(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    return net.eval()


@pytest.fixture(scope="module")
def small() -> ResNet:
    """The backbone `digits` for colour images."""
    torch.manual_seed(0)
    net: ResNet = trained(build("digits"))
    return net


@pytest.fixture(scope="module")
def resnet18() -> Any:
    """torchvision's, with the classifier `fc`."""
    torch.manual_seed(0)
    return trained(torchvision.models.resnet18())


def features_of(theirs: Any) -> Tensor:
    """What a torchvision network gives without its classifier."""
    fc, theirs.fc = theirs.fc, nn.Identity()
    with torch.no_grad():
        features: Tensor = theirs(NORMALISED)
    theirs.fc = fc
    return features


def agree(path: Path, expected: Tensor, **how: Any) -> None:
    with torch.no_grad():
        torch.testing.assert_close(load(path, **how)(IMAGES), expected, rtol=1e-5, atol=1e-5)


def nested(places: tuple[str, ...], content: Any) -> Any:
    for place in reversed(places):
        content = {place: content, "epoch": 3}
    return content


@pytest.mark.parametrize("program", PLACES)
def test_the_places_of_programs_are_recognised(program: str, small: ResNet, tmp_path: Path) -> None:
    places, prefix = PLACES[program]
    names = {prefix + name: tensor for name, tensor in small.state_dict().items()}
    head = {f"{prefix}fc.weight": torch.zeros(2, 64), "queue": torch.zeros(3)}
    path = tmp_path / "a.pth"
    torch.save(nested(places, {**names, **head}), path)
    encoder = load_foreign(path)
    assert encoder.config == EncoderConfig(arch="digits", in_channels=3, image_size=224, views="simclr")
    whole = "".join(f"{place}." for place in places) + prefix
    assert encoder.made_by["prefix"] == whole
    assert encoder.made_by["source"] == {"file": "a.pth", "sha256": sha256_of(path)}
    assert encoder.made_by["not_used"][f"{whole}fc.weight"[: -len(".weight")]] == 1
    with torch.no_grad():
        torch.testing.assert_close(encoder(IMAGES), small(NORMALISED), rtol=1e-5, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50"])
def test_files_of_torchvision(arch: str, tmp_path: Path) -> None:
    theirs = trained(getattr(torchvision.models, arch)())
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    agree(tmp_path / "a.pth", features_of(theirs))
    assert load(tmp_path / "a.pth", arch=arch).made_by["not_used"] == {"fc": 2}


def test_files_of_timm(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its use of torch.jit
        timm = pytest.importorskip("timm")
        theirs = trained(timm.create_model("resnet34", num_classes=0))
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    with torch.no_grad():
        agree(tmp_path / "model.safetensors", theirs(NORMALISED), arch="resnet34")


def test_files_of_lightlys_examples(resnet18: Any, tmp_path: Path) -> None:
    """They take the children of a torchvision network without the last, and BYOL's keep a copy."""
    backbone = nn.Sequential(*list(resnet18.children())[:-1])
    names = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    copy = {f"backbone_momentum.{name}": tensor + 1 for name, tensor in backbone.state_dict().items()}
    torch.save(
        {"state_dict": {**copy, **names, "projection_head.layers.0.weight": torch.zeros(1)}}, tmp_path / "a.ckpt"
    )
    agree(tmp_path / "a.ckpt", features_of(resnet18))


def test_the_resnet_of_lightly_itself_is_refused(tmp_path: Path) -> None:
    """Its children leave out the ReLU of the stem, so that no other network computes the same."""
    theirs = pytest.importorskip("lightly.models").ResNetGenerator("resnet-18")
    backbone = nn.Sequential(*list(theirs.children())[:-1])
    torch.save({f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}, tmp_path / "a.ckpt")
    with pytest.raises(DataError, match=r"'backbone\.\d.* is missing(.|\n)*Save the whole backbone"):
        load(tmp_path / "a.ckpt")


@pytest.mark.parametrize("prefix", ["encoder.module.", "encoder."])
def test_files_of_the_authors(prefix: str, resnet18: Any, tmp_path: Path) -> None:
    """networks/resnet_big.py of COP-Gen and GenRep: `stem.0`, `stem.1`, `shortcut`; on several GPUs a DataParallel."""
    names = authors_names(resnet18)
    kept = {prefix + name: tensor for name, tensor in names.items()}
    content = {"opt": argparse.Namespace(model="resnet18"), "model": {**kept, "head.0.weight": torch.zeros(2)}}
    torch.save(
        {**content, "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}}, "epoch": 1}, tmp_path / "a.pth"
    )
    agree(tmp_path / "a.pth", features_of(resnet18))
    made_by = load(tmp_path / "a.pth").made_by
    assert made_by["names"] == "COP-Gen and GenRep"
    assert made_by["not_used"] == {"model.head": 1, "optimizer": 1}


def test_files_of_sup_contrast(small: ResNet, tmp_path: Path) -> None:
    """Its network has the small stem, and `shortcut` beside a block."""
    names = {name.replace("downsample", "shortcut"): tensor for name, tensor in small.state_dict().items()}
    torch.save({"model": {f"encoder.{name}": tensor for name, tensor in names.items()}}, tmp_path / "a.pth")
    with torch.no_grad():
        agree(tmp_path / "a.pth", small(NORMALISED))
    assert load(tmp_path / "a.pth").made_by["names"] == "SupContrast"


def authors_names(theirs: Any) -> dict[str, Tensor]:
    """The tensors of a torchvision network as the authors' module has them."""
    found = {}
    for name, tensor in theirs.state_dict().items():
        if name.startswith("fc."):
            continue
        name = name.replace("downsample", "shortcut")
        if name.startswith(("conv1.", "bn1.")):
            name = f"stem.{'01'[name.startswith('bn1.')]}.{name.partition('.')[2]}"
        found[name] = tensor
    return found


def test_a_pickled_network_and_arrays_and_half_precision(small: ResNet, resnet18: Any, tmp_path: Path) -> None:
    torch.save({"net": resnet18}, tmp_path / "module.pth")
    agree(tmp_path / "module.pth", features_of(resnet18))
    torch.save({"model": {name: tensor.numpy() for name, tensor in small.state_dict().items()}}, tmp_path / "numpy.pth")
    half = {name: tensor.half() for name, tensor in small.state_dict().items() if "num_batches" not in name}
    torch.save(half, tmp_path / "half.bin")
    with torch.no_grad():
        agree(tmp_path / "numpy.pth", small(NORMALISED))
        torch.testing.assert_close(load(tmp_path / "half.bin")(IMAGES), small(NORMALISED), rtol=1e-2, atol=1e-2)
    assert next(load(tmp_path / "half.bin").parameters()).dtype == torch.float32


def test_gray_images_and_other_policies(tmp_path: Path) -> None:
    torch.save(build("resnet18", 1).state_dict(), tmp_path / "a.pth")
    config = load(tmp_path / "a.pth", image_size=28).config
    assert config == EncoderConfig(arch="resnet18", in_channels=1, image_size=28, views="mnist")
    torch.save(build("resnet18", stem="small").state_dict(), tmp_path / "b.pth")
    config = load(tmp_path / "b.pth", views="none").config
    assert (config.stem, config.views) == ("small", "none")
