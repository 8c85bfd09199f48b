"""The backbone of f: a residual network (He et al. 2016) up to its average pool, with torchvision's tensor names.

COP-Gen's adversary in the navigator stage is a ResNet-18, its pretrained encoder a ResNet-50, both with the ImageNet
stem (authors' code; the MNIST experiments too, appendix D). `digits` is a small network for 8 to 28 pixels.

Legend: N images, x (N, C, H, W) normalised images, features (N, feature_dim).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn

from copgen.runtime.errors import UsageError, unknown

Stem = Literal["imagenet", "small"]


@dataclass(frozen=True)
class Architecture:
    """The shape of a ResNet.

    Args:
        block: "basic" (two 3x3 convolutions) or "bottleneck" (1x1, 3x3, 1x1, four times as wide at its ends).
        depths: residual blocks of each stage; from the second stage on the first block halves the resolution.
        widths: channels of each stage, inside its blocks; the stem has the first stage's.
        stem: "imagenet" (7x7 with stride 2, then max-pool: a quarter of the resolution) or "small" (3x3: the full one).
    """

    block: Literal["basic", "bottleneck"]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: Stem

    @property
    def feature_dim(self) -> int:
        """Length of a feature vector."""
        return self.widths[-1] * (4 if self.block == "bottleneck" else 1)


ARCHITECTURES = {
    "digits": Architecture("basic", (1, 1, 1), (16, 32, 64), "small"),
    "resnet18": Architecture("basic", (2, 2, 2, 2), (64, 128, 256, 512), "imagenet"),
    "resnet34": Architecture("basic", (3, 4, 6, 3), (64, 128, 256, 512), "imagenet"),
    "resnet50": Architecture("bottleneck", (3, 4, 6, 3), (64, 128, 256, 512), "imagenet"),
}


class ResNet(nn.Module):
    """x (N, C, H, W) -> globally averaged features (N, `feature_dim`), non-negative.

    Tensor names and shapes are torchvision's, without the classifier `fc`. Convolutions start from He's normal
    distribution (fan-out), from torch's global generator; no residual branch is initialised to zero (authors' code).
    """

    def __init__(self, architecture: Architecture, *, in_channels: int = 3) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock, Bottleneck  # as slow to import as torch itself

        block: Any = {"basic": BasicBlock, "bottleneck": Bottleneck}[architecture.block]
        width = architecture.widths[0]
        if architecture.stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
            self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.stages = len(architecture.depths)
        for s, (depth, planes) in enumerate(zip(architecture.depths, architecture.widths, strict=True), start=1):
            stage = _stage(block, width, planes, depth, stride=1 if s == 1 else 2)
            self.add_module(f"layer{s}", stage)
            width = planes * block.expansion
        self.feature_dim: int = width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self._stem(x)
        for s in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{s}")(x)
        return x.mean(dim=(2, 3))

    def _stem(self, x: Tensor) -> Tensor:
        found: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return found

    def last_blocks(self, x: Tensor, count: int) -> list[Tensor]:
        """The outputs (N, width, H', W') of the last residual blocks, or of all if there are fewer, in their order."""
        x = self._stem(x)
        found: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            found = [*found, x][-count:]
        return found

    @property
    def blocks(self) -> list[nn.Module]:
        """The residual blocks of all stages, in their order."""
        return [block for s in range(1, self.stages + 1) for block in self.get_submodule(f"layer{s}").children()]

    @property
    def block_widths(self) -> list[int]:
        """The channels of each of them."""
        convolutions = [[one for one in block.modules() if isinstance(one, nn.Conv2d)] for block in self.blocks]
        return [max(one.out_channels for one in block) for block in convolutions]


def _stage(block: Any, in_width: int, planes: int, depth: int, *, stride: int) -> nn.Sequential:
    """`depth` residual blocks; the first one changes width and resolution, and its shortcut then has a convolution."""
    width = planes * block.expansion
    shortcut = None
    if stride != 1 or in_width != width:
        shortcut = nn.Sequential(nn.Conv2d(in_width, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    first = block(in_width, planes, stride, shortcut)
    return nn.Sequential(first, *(block(width, planes) for _ in range(depth - 1)))


def check_architecture(arch: str) -> None:
    """Refuse a name that is no architecture (UsageError)."""
    if arch not in ARCHITECTURES:
        raise unknown("encoder", arch, ARCHITECTURES)


def build(arch: str, in_channels: int = 3, *, stem: Stem | None = None, width: float = 1.0) -> ResNet:
    """A new backbone by name.

    Args:
        arch: 'digits', 'resnet18', 'resnet34' or 'resnet50'.
        in_channels: channels of the images, >= 1.
        stem: replaces the architecture's stem; "small" suits images of 8 to 64 pixels.
        width: factor on the channels of all stages, > 0.

    Raises:
        UsageError: unknown architecture or stem, or in_channels < 1.
    """
    check_architecture(arch)
    if stem not in (None, "imagenet", "small"):
        raise unknown("stem", stem, ("imagenet", "small"))
    if in_channels < 1:
        raise UsageError(f"in_channels is {in_channels}, not a number of channels.", fix="Pass 1 or more.")
    architecture = ARCHITECTURES[arch]
    widths = tuple(max(1, round(width * channels)) for channels in architecture.widths)
    return ResNet(replace(architecture, stem=stem or architecture.stem, widths=widths), in_channels=in_channels)
