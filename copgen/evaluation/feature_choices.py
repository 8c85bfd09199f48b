"""Other features of a ResNet than its average pool, all from one pass: the grid of DINOv2's linear evaluation.

DINOv2 (Oquab et al. 2023) tries the last block or the last four, with or without the average of the patches, and lets
validation select. Of a ResNet these are

* `avgpool`: the last block, averaged over the image: what everybody else evaluates;
* `last-2-blocks`, `last-4-blocks`: the averages of the last residual blocks beside each other;
* `grid-2x2`: the last block averaged over each quarter of the image, which keeps where things are.

Legend: N images, D features of a choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.encoders import Encoder

BLOCKS = {"avgpool": 1, "last-2-blocks": 2, "last-4-blocks": 4}
GRID = "grid-2x2"


class FeatureChoices:
    """images -> the features of all choices beside each other, as an encoder; each choice is a slice of the columns.

    Args:
        encoder: on any device.
        names: of the choices.
    """

    def __init__(self, encoder: Encoder, names: Sequence[str]) -> None:
        self.encoder, self.names = encoder, tuple(dict.fromkeys(names))
        self.most = max((BLOCKS[name] for name in self.names if name != GRID), default=0)
        self.widths = encoder.backbone.block_widths[::-1][: self.most]  # the last block first

    @property
    def dim(self) -> int:
        """Of all choices together."""
        return sum(self.widths) + (4 * self.encoder.feature_dim if GRID in self.names else 0)

    def columns(self, name: str) -> slice:
        """Those of a choice; of fewer blocks than it names, all of them."""
        if name == GRID:
            return slice(sum(self.widths), self.dim)
        return slice(0, sum(self.widths[: BLOCKS[name]]))

    def __call__(self, images: Tensor) -> Tensor:
        """(N, dim) of images (N, C, H, W) in [-1, 1]; errors as `Encoder.forward`."""
        blocks = self.encoder.backbone.last_blocks(self.encoder.normalised(images), max(self.most, 1))[::-1]
        found = [block.mean(dim=(2, 3)) for block in blocks[: self.most]]
        if GRID in self.names:
            found.append(F.adaptive_avg_pool2d(blocks[0], 2).flatten(1))
        return torch.cat(found, dim=1)
