"""The drop of a perceptual similarity: appendix B's proposal, on the triplet G(z), G(T_z(z)) now and at the start.

    kept = (s_now - s_random) / (s_start - s_random)

s is the mean similarity of a few anchors and their positives: under T_z as it is now, as it was at the start, and with
positives of other anchors. So kept is 1 at the start, and 0 when a positive is as unlike its anchor as any image.

With a penalty, what the rule forbids is a constraint of the training instead, in place of d(z, z') <= delta: T_z
maximises L minus the penalty times the mean over the batch of max(0, similarity_kept - kept), of each pair by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from copgen import generators
from copgen.distributed.ranks import Ranks
from copgen.evaluation.similarity import Similarity
from copgen.latents.navigator import Navigator
from copgen.runtime.errors import UsageError
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.check import Check
from copgen.stages.navigate.stopping.names import PERCEPTUAL

PAIRS = 64  # triplets; 0.4 % of the cost of the updates between two checks on digits, at 5,000 samples


class Perceptual(Check):
    """Watches the similarity of anchors and positives; keeps the navigator of the last check before its drop.

    Args:
        settings: of the run.
        G, T_z: the generator, and the navigator before its first update.
        similarity: larger is more alike.
        ranks: the processes that share a batch; they act on the same similarities.

    Raises:
        UsageError: the similarity does not tell positives of the start from random images, or it has no gradient and
            there is a penalty.
    """

    name, metric = PERCEPTUAL, "similarity_kept"

    def __init__(
        self,
        settings: NavigateSettings,
        G: generators.Generator,
        T_z: Navigator,
        similarity: Similarity,
        ranks: Ranks,
    ) -> None:
        super().__init__(T_z, every=settings.check_every)
        self.G, self.similarity, self.ranks = G, similarity, ranks
        self.least, self.weight = settings.similarity_kept, settings.similarity_penalty
        drawn = settings.updates * settings.batch
        self.rows, self.seed = range(drawn, drawn + PAIRS), settings.seed  # not trained on
        self.z, self.condition = G.sample_prior(self.rows, self.seed), G.sample_condition(self.rows, self.seed)
        with torch.no_grad():
            self.x = G(self.z, self.condition)
            own = self._own_mean(T_z), similarity(self.x, self.x.roll(1, dims=0)).double().mean()
            ranks.meet()
            self.start, self.random = map(ranks.mean, own)
        if not bool(self.start > self.random):
            raise UsageError(
                f"Under {similarity.name}, positives of the untrained navigator ({float(self.start):.3f}) are no more "
                f"like their anchors than random images are ({float(self.random):.3f}).",
                fix="Choose another similarity, or a smaller init_std.",
            )

        if self.weight and not similarity(self.x, self.x.clone().requires_grad_()).requires_grad:
            raise UsageError(
                f"similarity_penalty needs a gradient, and {similarity.name} has none.",
                fix="Choose ms-ssim, lpips, pixels, efficientnet-lite0 or encoder:PATH, or --stop perceptual without a "
                "penalty.",
            )

    def penalty(self, x: Tensor, x_pos: Tensor) -> Tensor | None:
        """What T_z pays for the images of a batch (K, C, H, W), in nats, (); None without a penalty."""
        if not self.weight:
            return None
        kept = (self.similarity(x, x_pos) - self.random) / (self.start - self.random)
        return self.weight * (self.least - kept).clamp(min=0.0).mean()

    @property
    def inputs(self) -> dict[str, str]:
        """Hashes of the similarity's weights."""
        return {f"similarity's {name}": digest for name, digest in self.similarity.inputs.items()}

    def measured(self, T_z: Navigator) -> dict[str, Tensor]:
        """`similarity`, and the share of it that is kept."""
        now = self.ranks.mean(self._own_mean(T_z))
        return {"similarity": now, self.metric: (now - self.random) / (self.start - self.random)}

    def judged(self, metrics: Mapping[str, float], updates: int) -> tuple[bool, bool]:
        """The last check that keeps enough is the best; the first that does not ends the run."""
        dropped = metrics[self.metric] < self.least
        return not dropped, dropped

    def closeness(self, metrics: Mapping[str, float], updates: int) -> float:
        """The share that is lost, in units of what may be lost."""
        return (1.0 - metrics[self.metric]) / (1.0 - self.least)

    def signals(self, batch: int) -> dict[str, Any]:
        """The measure, its bound, and where it began."""
        return {
            "measure": self.similarity.name,
            "limit": self.least,
            "start": float(self.start),
            "random": float(self.random),
            "chosen": self.chosen_update * batch,
        }

    def _own_mean(self, T_z: Navigator) -> Tensor:
        z_pos = T_z(self.z.to(next(T_z.parameters()).dtype), seed=self.seed, rows=self.rows)
        return self.similarity(self.x, self.G(z_pos, self.condition)).double().mean()
