"""The names that other programs give the tensors of a ResNet: copgen's, which are torchvision's, and those of others.

A `Layout` translates one of copgen's names. torchvision's names are also those of timm, MoCo, VISSL and solo-learn,
behind a prefix; see `copgen.encoders.foreign.networks`. A layout is listed only if networks with its names compute what
copgen's compute, with the stride of a bottleneck in its 3x3 convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Layout:
    """How a program names the parts of a ResNet.

    Args:
        name: the programs, for messages.
        first: new names of the parts at the top, such as "conv1" or "layer1".
        shortcut: name of the convolution and batch norm beside a block.
    """

    name: str
    first: Mapping[str, str] = field(default_factory=dict)
    shortcut: str = "downsample"

    def __call__(self, name: str) -> str:
        """The name in this layout of a tensor called `name` in copgen."""
        part, _, rest = name.partition(".")
        return f"{self.first.get(part, part)}.{rest}".replace(".downsample.", f".{self.shortcut}.")


# lightly's examples take the children of a torchvision network: conv1, bn1, relu, maxpool, layer1, ...
_CHILDREN = {"conv1": "0", "bn1": "1", **{f"layer{stage}": str(stage + 3) for stage in range(1, 5)}}
LAYOUTS = (
    Layout("torchvision"),
    Layout("COP-Gen and GenRep", {"conv1": "stem.0", "bn1": "stem.1"}, "shortcut"),
    Layout("SupContrast", shortcut="shortcut"),
    Layout("lightly", _CHILDREN),
)
