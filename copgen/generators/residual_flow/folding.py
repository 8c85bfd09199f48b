"""What a module keeps of its weights for inference, and when it is let go."""

from __future__ import annotations

from typing import Any, Self

from torch import nn


class Folding(nn.Module):
    """A module with `folded`, which is made of its weights: None again when they are loaded anew, or trained."""

    folded: Any

    def _load_from_state_dict(self, *args: Any, **keywords: Any) -> None:
        self.folded = None
        super()._load_from_state_dict(*args, **keywords)

    def train(self, mode: bool = True) -> Self:
        if mode:
            self.folded = None
        return super().train(mode)
