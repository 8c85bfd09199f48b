"""The whole detector: its parts for each encoder, its losses, detections and file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from copgen.encoders.encoder import EncoderConfig
from copgen.evaluation.detection.config import NUMBERS, SIZES
from copgen.evaluation.detection.detector import Detector, load_detector, save_detector
from copgen.runtime.errors import DataError, UsageError
from copgen.training.loop import sum_of
from tests.evaluation.detection.small import detector, images

LOSSES = {"loss_objectness", "loss_proposal", "loss_class", "loss_box"}


def losses_of(network: Detector) -> dict[str, torch.Tensor]:
    x, sizes, targets = images(1, side=64)  # the last stage of a ResNet-18 has more than one position then
    found = network.train()(x, sizes, targets, range(1))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("arch", "backbone", "anchors", "strides"),
    [
        ("digits", "c4", (12.0, 20.0), (2,)),
        ("digits", "fpn", (8.0, 12.0, 20.0, 28.0), (1, 2, 4, 8)),
        ("resnet18", "c4", SIZES, (16,)),
        ("resnet18", "fpn", SIZES, (4, 8, 16, 32, 64)),
    ],
)
def test_every_weight_is_trained(
    arch: str, backbone: Any, anchors: tuple[float, ...], strides: tuple[int, ...]
) -> None:
    network = detector(arch, backbone, anchors)
    assert network.rpn.anchor_generator.strides == strides
    losses = losses_of(network)
    assert losses.keys() == LOSSES
    torch.autograd.backward(sum_of(losses))
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_shape_of_r50_c4() -> None:
    encoder = EncoderConfig(arch="resnet50", in_channels=3, image_size=224, views="simclr")
    small = detector().config
    with torch.device("meta"):
        network = Detector(encoder.build(), small.model_copy(update={"encoder": encoder, "anchors": SIZES}))
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["rpn.head.conv.0.0.weight"] == (1024, 1024, 3, 3)
    assert shapes["rpn.head.cls_logits.weight"] == (15, 1024, 1, 1)
    assert shapes["roi_heads.box_head.stage.0.conv1.weight"] == (512, 1024, 1, 1)
    assert shapes["roi_heads.box_head.norm.weight"] == (2048,)
    assert shapes["roi_heads.box_predictor.bbox_pred.weight"] == (16, 2048)
    assert not any(name.startswith("backbone.layer4") for name in shapes)


def test_the_numbers_of_the_authors_configuration() -> None:
    network = detector()
    rpn, heads = network.rpn, network.roi_heads
    assert (NUMBERS["c4"].before_nms, NUMBERS["c4"].after_nms) == ((12_000, 6_000), (2_000, 1_000))
    for training, before, after in ((True, 12_000, 2_000), (False, 6_000, 1_000)):
        rpn.train(training)
        assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n(), rpn.nms_thresh) == (before, after, 0.7)
    assert (heads.box_roi_pool.side, heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (
        14,
        0.05,
        0.5,
        100,
    )
    assert heads.box_coder.weights == (10.0, 10.0, 5.0, 5.0)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_losses_depend_on_the_sample_indices_alone() -> None:
    network = detector()
    first = {name: value.item() for name, value in losses_of(network).items()}
    torch.manual_seed(123)
    assert {name: value.item() for name, value in losses_of(network).items()} == first


def test_no_object_in_an_image_is_no_box_loss() -> None:
    x, sizes, _ = images(1)
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = detector().train()(x, sizes, [empty], range(1))
    assert isinstance(losses, dict)
    assert losses["loss_box"].item() == losses["loss_proposal"].item() == 0.0
    assert losses["loss_class"].item() > 0


@torch.no_grad()
def test_a_saved_detector_finds_the_same(tmp_path: Path) -> None:
    network = detector()
    losses_of(network)  # moves the statistics of batch norms
    network.eval()
    nn.init.normal_(network.roi_heads.box_predictor.cls_score.weight, std=0.3)
    save_detector(tmp_path / "detector.safetensors", network, {"stage": "a test"})
    x, sizes, _ = images(2, side=20)
    before, after = network(x, sizes), load_detector(tmp_path / "detector.safetensors")(x, sizes)
    assert isinstance(before, list)
    assert isinstance(after, list)
    assert len(before[0]["scores"]) > 0
    for one, other in zip(before, after, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in ("boxes", "scores", "labels"))
        assert (one["scores"][:-1] >= one["scores"][1:]).all()
        assert one["labels"].max() <= 2
        assert one["labels"].min() >= 0


def test_a_pyramid_needs_a_size_for_each_level() -> None:
    with pytest.raises(UsageError, match=r"5 sizes.*4 levels"):
        detector("digits", "fpn", SIZES)


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    from copgen.storage.tensors import save_tensors

    save_tensors(tmp_path / "d.safetensors", {"a": torch.zeros(1)}, kind="detector", header={"config": {"classes": []}})
    with pytest.raises(DataError, match=r"d\.safetensors"):
        load_detector(tmp_path / "d.safetensors")
