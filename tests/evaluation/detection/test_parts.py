"""The parts of the detector that differ from torchvision's, against detectron2's definitions."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import roi_align

from copgen.distributed.ranks import Ranks
from copgen.evaluation.detection.anchors import FixedAnchors
from copgen.evaluation.detection.config import NUMBERS, RATIOS, SIZES
from copgen.evaluation.detection.pooling import AlignedPooler
from copgen.evaluation.detection.proposals import Proposals
from copgen.evaluation.detection.regions import Regions
from copgen.evaluation.detection.sampling import CounterSampler
from copgen.evaluation.detection.statistics import renew_statistics


def test_anchors_are_not_rounded_and_have_the_stride_of_the_network() -> None:
    anchors = FixedAnchors([SIZES], RATIOS, [16])
    assert anchors.num_anchors_per_location() == [15]
    # 1066 pixels are 67 positions: their quotient, torchvision's stride, is 15.
    (found,) = anchors(SimpleNamespace(image_sizes=[(800, 1066)]), [torch.zeros(1, 8, 50, 67)])
    assert found.shape == (50 * 67 * 15, 4)
    width, height = 32 / math.sqrt(0.5), 32 * math.sqrt(0.5)
    assert found[0].tolist() == pytest.approx([-width / 2, -height / 2, width / 2, height / 2], rel=1e-6)
    assert (found[15] - found[0]).tolist() == pytest.approx([16, 0, 16, 0], abs=1e-4)
    assert (found[67 * 15] - found[0]).tolist() == pytest.approx([0, 16, 0, 16], abs=1e-4)
    areas = (found[:15, 2:] - found[:15, :2]).prod(dim=1)
    assert areas.sqrt().tolist() == pytest.approx([size for size in SIZES for _ in RATIOS], rel=1e-6)


def test_regions_are_pooled_with_aligned_corners() -> None:
    features = torch.arange(64.0).view(1, 1, 8, 8)
    box = torch.tensor([[0.0, 0.0, 128.0, 128.0]])
    pooled = AlignedPooler(["3"], [16], side=8)({"3": features}, [box])
    assert torch.allclose(pooled, features, atol=1e-4)  # each cell is one position
    assert not torch.allclose(roi_align(features, [box], 8, 1 / 16, aligned=False), features, atol=0.1)


def test_the_level_of_a_region_follows_its_size() -> None:
    pooler = AlignedPooler(["1", "2", "3", "4"], [4, 8, 16, 32], side=7)
    sides = torch.tensor([16.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 2000.0])
    boxes = torch.stack((torch.zeros(8), torch.zeros(8), sides, sides), dim=1)
    assert pooler.levels(boxes).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_pyramid_pools_each_region_from_its_level() -> None:
    torch.manual_seed(0)
    features = {str(level): torch.randn(2, 3, 512 // stride, 512 // stride) for level, stride in ((1, 16), (2, 32))}
    boxes = [torch.tensor([[0.0, 0, 100, 100], [10, 10, 500, 500]]), torch.tensor([[5.0, 0, 460, 480]])]
    pooler = AlignedPooler(["1", "2"], [16, 32], side=7)
    found = pooler(features, boxes)
    small = roi_align(features["1"], [boxes[0][:1], boxes[1][:0]], 7, 1 / 16, 0, True)
    large = roi_align(features["2"], [boxes[0][1:], boxes[1]], 7, 1 / 32, 0, True)
    assert torch.equal(found, torch.cat((small, large)))


def test_samples_are_random_up_to_the_fraction_and_depend_on_the_image_alone() -> None:
    labels = torch.zeros(500, dtype=torch.int64)
    labels[:100], labels[100:200] = 2, -1
    sampler = CounterSampler(64, 0.25, seed=1, stream="test")
    sampler.samples = [7, 8]
    positive, negative = sampler([labels, labels])
    for own_positive, own_negative in zip(positive, negative, strict=True):
        assert int(own_positive.sum()) == 16
        assert int(own_negative.sum()) == 48
        assert (labels[own_positive] == 2).all()
        assert (labels[own_negative] == 0).all()
    assert not torch.equal(positive[0], positive[1])
    sampler.samples = [8]
    assert torch.equal(sampler([labels])[0][0], positive[1])


def test_few_positives_leave_room_for_negatives() -> None:
    labels = torch.zeros(500)
    labels[3] = 1
    sampler = CounterSampler(64, 0.25, seed=1, stream="test")
    sampler.samples = [0]
    positive, negative = sampler([labels])
    assert (int(positive[0].sum()), int(negative[0].sum())) == (1, 63)


def test_the_losses_of_proposals_are_l1_over_all_anchors_of_the_batch() -> None:
    sampler = CounterSampler(8, 0.5, seed=0, stream="test")
    sampler.samples = [0, 1]
    rpn = Proposals(FixedAnchors([(16.0,)], (1.0,), [8]), 4, NUMBERS["c4"], sampler)
    labels = [torch.tensor([1.0, 0.0, 0.0, -1.0]), torch.tensor([0.0, 1.0, -1.0, 0.0])]
    scores, deltas, wanted = torch.randn(8, 1), torch.randn(8, 4), [torch.randn(4, 4), torch.randn(4, 4)]
    objectness, box = rpn.compute_loss(scores, deltas, labels, wanted)
    every, used = torch.cat(labels), torch.cat(labels) >= 0  # there are fewer than 8, so all of them are in it
    want = F.binary_cross_entropy_with_logits(scores[used, 0], every[used], reduction="sum") / 16
    assert objectness.item() == pytest.approx(want.item(), rel=1e-6)
    rows = every == 1
    assert box.item() == pytest.approx((deltas - torch.cat(wanted))[rows].abs().sum().item() / 16, rel=1e-6)


def test_the_losses_of_regions_are_means_over_all_regions_and_l1() -> None:
    torch.manual_seed(0)
    sampler = CounterSampler(8, 0.5, seed=0, stream="test")
    heads = Regions(AlignedPooler(["1"], [8], side=2), nn.Flatten(), 12, 3, sampler, Ranks())
    scores, deltas, wanted = torch.randn(5, 4), torch.randn(5, 16), torch.randn(5, 4)
    labels = torch.tensor([0, 3, 0, 1, 0])
    found = heads._losses(scores, deltas, labels, wanted)
    assert found["loss_class"].item() == pytest.approx(F.cross_entropy(scores, labels).item(), rel=1e-6)
    of_box = (deltas[1, 12:] - wanted[1]).abs().sum() + (deltas[3, 4:8] - wanted[3]).abs().sum()
    assert found["loss_box"].item() == pytest.approx(of_box.item() / 5, rel=1e-6)
    nothing = heads._losses(scores, deltas, torch.zeros(5, dtype=torch.int64), wanted)
    assert nothing["loss_box"].item() == 0.0


def test_precise_statistics_are_means_over_the_batches() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    batches = [torch.randn(4, 3, 5, 5) * scale + scale for scale in (1.0, 2.0, 5.0)]
    renew_statistics(norm, batches, norm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in batches]).mean(dim=0)
    variances = torch.stack([batch.transpose(0, 1).flatten(1).var(dim=1) for batch in batches]).mean(dim=0)
    assert torch.allclose(norm.running_mean, means, atol=1e-5)
    assert torch.allclose(norm.running_var, variances, rtol=1e-5)
    assert norm.momentum == 0.1
