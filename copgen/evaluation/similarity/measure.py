"""What a measure of similarity is: `Similarity`."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Similarity(Protocol):
    """How alike two images are. Larger is more alike, for every measure; their units differ.

    Attributes:
        name: as it was asked for, such as 'ms-ssim', 'lpips' or 'encoder:runs/pretrain'.
        text: one line for tables; says what is compared, and where its weights come from.
        inputs: sha256 of the weights by the name of their file, for `results.json`.
    """

    @property
    def name(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def inputs(self) -> dict[str, str]: ...

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """The similarity of x[k] and y[k], (N,) float32.

        Args:
            x, y: images (N, 1 or 3, H, W) in [-1, 1], float32, all of one size.
        """
