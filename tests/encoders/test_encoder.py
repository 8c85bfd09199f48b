"""The encoder file: what is saved can be loaded, and everything else is refused with exit code 3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from copgen.encoders import EncoderConfig, ResNet, build, load, save_encoder
from copgen.runtime.errors import DataError, ExitCode, UsageError
from copgen.storage.tensors import load_tensors, save_tensors

CONFIG = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")


@pytest.fixture
def backbone() -> ResNet:
    """A small backbone whose batch norms have statistics."""
    torch.manual_seed(0)
    backbone = build("digits", 1).train()
    backbone(torch.rand(32, 1, 8, 8))
    return backbone


@pytest.fixture
def images() -> torch.Tensor:
    return 2.0 * torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1)) - 1.0


@pytest.mark.parametrize("name", ["", "best.safetensors"])
def test_what_is_saved_comes_back(tmp_path: Path, backbone: ResNet, images: torch.Tensor, name: str) -> None:
    place = tmp_path / name if name else tmp_path
    file = save_encoder(place, backbone, CONFIG, {"stage": "pretrain", "seed": 3})
    assert file == tmp_path / (name or "encoder.safetensors")
    encoder = load(str(place))
    assert encoder.config == CONFIG
    assert encoder.made_by == {"stage": "pretrain", "seed": 3}
    assert encoder.feature_dim == 64
    with torch.no_grad():
        assert torch.equal(encoder(images), backbone.eval()((images + 1.0) * 0.5))


def test_images_are_normalised_as_the_view_policy_says(tmp_path: Path) -> None:
    backbone = build("resnet18", stem="small").eval()
    config = EncoderConfig(arch="resnet18", in_channels=3, image_size=8, views="simclr", stem="small")
    save_encoder(tmp_path, backbone, config, {})
    images = 2.0 * torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 1.0
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    views = ((images + 1.0) / 2.0 - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(load(tmp_path)(images), backbone(views))


def test_an_encoder_is_frozen_but_differentiable_in_the_images(
    tmp_path: Path, backbone: ResNet, images: torch.Tensor
) -> None:
    save_encoder(tmp_path, backbone, CONFIG, {})
    encoder = load(tmp_path).train()
    assert not any(module.training for module in encoder.modules())
    before = encoder(images).clone()
    encoder(images.requires_grad_()).sum().backward()
    assert images.grad is not None
    assert bool(images.grad.abs().sum() > 0)
    assert not any(p.requires_grad for p in encoder.parameters())
    assert torch.equal(encoder(images), before)


def test_loading_draws_no_random_numbers(tmp_path: Path, backbone: ResNet) -> None:
    save_encoder(tmp_path, backbone, CONFIG, {})
    state = torch.get_rng_state()
    load(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(2, 3, 8, 8), torch.zeros(1, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.uint8)]
)
def test_invalid_images_are_refused(tmp_path: Path, backbone: ResNet, wrong: torch.Tensor) -> None:
    save_encoder(tmp_path, backbone, CONFIG, {})
    with pytest.raises(UsageError, match=r"\(N, 1, H, W\)"):
        load(tmp_path)(wrong)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def rewritten(**header: Any) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        tensors, old = load_tensors(path, kind="encoder")
        old |= header
        save_tensors(path, tensors, kind=old.pop("kind"), header={k: v for k, v in old.items() if k != "format"})

    return rewrite


def with_tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        tensors, header = load_tensors(path, kind="encoder")
        change(tensors)
        save_tensors(path, tensors, kind="encoder", header={"config": header["config"]})

    return rewrite


@pytest.mark.parametrize(
    ("damage", "subject"),
    [
        (Path.unlink, "missing"),
        (truncated, "safetensors file"),
        (lambda path: path.write_bytes(b""), "safetensors file"),
        (lambda path: save_file({"w": torch.zeros(1)}, path), "copgen"),
        (rewritten(kind="navigator"), "navigator"),
        (rewritten(config=None), "config"),
        (rewritten(config={**CONFIG.model_dump(), "in_channels": 0}), "in_channels"),
        (rewritten(config={**CONFIG.model_dump(), "arch": "digit"}), "'digit'"),
        (rewritten(config={**CONFIG.model_dump(), "views": "mnis"}), "'mnis'"),
        (rewritten(config={**CONFIG.model_dump(), "arch": "resnet18"}), "'layer1.1"),
        (rewritten(config={**CONFIG.model_dump(), "in_channels": 3}), "'conv1.weight'"),
        (with_tensors(lambda tensors: tensors.pop("bn1.bias")), "'bn1.bias'"),
        (with_tensors(lambda tensors: tensors.update({"fc.weight": torch.zeros(1)})), "'fc.weight'"),
        (with_tensors(lambda tensors: tensors["conv1.weight"].view(-1)[7].fill_(torch.nan)), "'conv1.weight'"),
    ],
)
def test_a_damaged_or_different_file_is_refused(
    tmp_path: Path, backbone: ResNet, damage: Callable[[Path], None], subject: str
) -> None:
    damage(save_encoder(tmp_path, backbone, CONFIG, {}))
    with pytest.raises(DataError, match=subject) as caught:
        load(tmp_path)
    assert caught.value.code == ExitCode.DATA
    assert "encoder.safetensors" in caught.value.what
