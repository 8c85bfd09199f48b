"""The drop of a perceptual similarity: appendix B's proposal, on the triplet G(z), G(T_z(z)) now and at the start.

    kept = (s_now - s_random) / (s_start - s_random)

s is the mean similarity of a few anchors and their positives: under T_z as it is now, as it was at the start, and with
positives of other anchors. So kept is 1 at the start, and 0 when a positive is as unlike its anchor as any image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from copgen import generators
from copgen.evaluation.similarity import Similarity
from copgen.latents.navigator import Navigator
from copgen.runtime.errors import UsageError
from copgen.stages.navigate.settings import NavigateSettings

PAIRS = 64  # triplets; 2 % of the cost of the updates between two checks, at 5,000 samples


class Perceptual:
    """Watches the similarity of anchors and positives; keeps the navigator of the last check before its drop.

    Args:
        settings: of the run.
        G, T_z: the generator, and the navigator before its first update.
        similarity: larger is more alike.

    Raises:
        UsageError: the similarity does not tell positives of the start from random images.
    """

    def __init__(
        self, settings: NavigateSettings, G: generators.Generator, T_z: Navigator, similarity: Similarity
    ) -> None:
        self.G, self.similarity = G, similarity
        self.least = settings.similarity_kept
        self.every = settings.check_every
        rows = range(settings.updates * settings.batch, settings.updates * settings.batch + PAIRS)  # not trained on
        self.z, self.condition = G.sample_prior(rows, settings.seed), G.sample_condition(rows, settings.seed)
        with torch.no_grad():
            self.x = G(self.z, self.condition)
            self.start = self._mean(T_z)
            self.random = similarity(self.x, self.x.roll(1, dims=0)).double().mean()
        if not bool(self.start > self.random):
            raise UsageError(
                f"Under {similarity.name}, positives of the untrained navigator ({float(self.start):.3f}) are no more "
                f"like their anchors than random images are ({float(self.random):.3f}).",
                fix="Choose another similarity, or a smaller init_std.",
            )
        self.unread: list[tuple[int, dict[str, Tensor]]] = []  # number of updates, weights at the check
        self.chosen_update = 0
        self.best = _copied(T_z)

    @property
    def inputs(self) -> dict[str, str]:
        """Hashes of the similarity's weights."""
        return {f"similarity's {name}": digest for name, digest in self.similarity.inputs.items()}

    def due(self, samples: range) -> bool:
        """Whether to check after the update with these samples."""
        return samples.stop // self.every > samples.start // self.every

    @torch.no_grad()
    def look(self, T_z: Navigator, updates: int) -> dict[str, Tensor]:
        """The metrics of a check, `similarity` and `similarity_kept`, each () and still on the device."""
        self.unread.append((updates, _copied(T_z)))
        now = self._mean(T_z)
        return {"similarity": now, "similarity_kept": (now - self.random) / (self.start - self.random)}

    def dropped(self, metrics: Mapping[str, float]) -> bool:
        """Whether a check found that too little is kept; else its navigator is the one to keep."""
        updates, weights = self.unread.pop(0)
        if metrics["similarity_kept"] < self.least:
            return True
        self.chosen_update, self.best = updates, weights
        return False

    def _mean(self, T_z: Navigator) -> Tensor:
        z_pos = T_z(self.z.to(next(T_z.parameters()).dtype))
        return self.similarity(self.x, self.G(z_pos, self.condition)).double().mean()

    def state_dict(self) -> dict[str, Any]:
        return {"chosen_update": self.chosen_update, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.chosen_update, self.best = state["chosen_update"], state["best"]


def _copied(T_z: Navigator) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in T_z.state_dict().items()}
