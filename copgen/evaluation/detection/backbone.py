"""The feature maps of a ResNet: all stages but the last (C4), or a pyramid of all stages (FPN; Lin et al. 2017).

Legend: x (N, C, H, W) normalised images.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from copgen.encoders.resnet import ResNet

PYRAMID = 256  # channels of its maps


class Stages(nn.Module):
    """The maps of the first stages of a ResNet, by names "1", "2", ...

    Args:
        network: its modules are used, not copied.
        last: the number of stages.
        first: the first of them whose map is returned.
    """

    def __init__(self, network: ResNet, *, last: int, first: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = network.conv1, network.bn1, network.relu, network.maxpool
        self.first, self.last = first, last
        for stage in range(1, last + 1):
            self.add_module(f"layer{stage}", network.get_submodule(f"layer{stage}"))

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        found: OrderedDict[str, Tensor] = OrderedDict()
        for stage in range(1, self.last + 1):
            x = self.get_submodule(f"layer{stage}")(x)
            if stage >= self.first:
                found[str(stage)] = x
        return found


class Pyramid(nn.Module):
    """The maps of FPN: one for each stage, and a last one with half the resolution of the smallest, for proposals."""

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.body = Stages(network, last=network.stages, first=1)
        widths = [width_of(network, stage) for stage in range(1, network.stages + 1)]
        self.fpn: nn.Module = FeaturePyramidNetwork(widths, PYRAMID, extra_blocks=LastLevelMaxPool())

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        found: OrderedDict[str, Tensor] = self.fpn(self.body(x))
        return found


def width_of(network: ResNet, stage: int) -> int:
    """Channels after a stage."""
    *_, norm = (module for module in _last_block(network, stage).children() if isinstance(module, nn.BatchNorm2d))
    return norm.num_features


def stride_of(network: ResNet, stage: int) -> int:
    """Pixels between the positions of the map after a stage."""
    stem = 1 if isinstance(network.maxpool, nn.Identity) else 4
    return int(stem * 2 ** (stage - 1))


def _last_block(network: ResNet, stage: int) -> nn.Module:
    blocks = network.get_submodule(f"layer{stage}")
    assert isinstance(blocks, nn.Sequential)
    return blocks[-1]
