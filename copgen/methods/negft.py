"""Neg FT: contrastive learning with feature transformation of the negatives (Zhu et al. 2021), two forms.

`NegFT` is the published code, a MoCo (He et al. 2020): the negatives of an anchor are a queue Q of the positives of
past updates, embedded by a key encoder that follows f as a moving average. The queue is mixed at every update:

    L = mean over anchors of  -log  exp(h . k / tau) / ( exp(h . k / tau) + sum_r exp(h . Q~_r / tau) )

`NegFTInBatch` is SimCLR with mixed negatives. COP-Gen reports such a run, but not how the negatives of a batch were
mixed. Here all rows of the batch are mixed, and an anchor is contrasted with those that contain no part of its sample:

    L = mean over rows i and the other views p of i's sample of
        -log  exp(h_i . h_p / tau) / ( exp(h_i . h_p / tau) + sum_{r without i's sample} exp(h_i . h~_r / tau) )

MoCo shuffles the batch over the processes before the key encoder, as its batch norms would otherwise give the answer
away. Here batch statistics are those of the whole batch on any number of ranks, so there is nothing to shuffle.

Legend: K batch size; V views of each sample; h (K, D) anchors' embeddings, k (K, D) their keys; Q (Q, D) the queue;
~ mixed rows (interpolation.py); tau the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from copgen.distributed.gather import gather_rows
from copgen.distributed.ranks import Ranks
from copgen.encoders import Projector, ResNet
from copgen.methods.branch import Branch, Outputs
from copgen.methods.interpolation import Interpolation
from copgen.methods.method import Method, Views
from copgen.methods.queue import Queue
from copgen.methods.target import Momentum, follow, target_of
from copgen.objectives.reference import normalize

EXACT = 40.0  # above it softplus is the identity, even in float64


class NegFT(Method):
    """MoCo with mixed negatives; only the anchors' views pass f.

    Args:
        backbone: the encoder to train.
        hidden, out: widths of the projector.
        temperature: tau.
        momentum: of the key encoder.
        queue: rows of Q.
        interpolation: mixes Q.
        seed: of the run, for the first rows of Q.
        ranks: the processes that share a batch.
    """

    together = False
    trained_views = 1

    def __init__(
        self,
        backbone: ResNet,
        *,
        hidden: int,
        out: int,
        temperature: float,
        momentum: Momentum,
        queue: int,
        interpolation: Interpolation,
        seed: int,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__()
        self.f = Branch(backbone, Projector(backbone.feature_dim, hidden, out))
        self.target = target_of(self.f)
        self.queue = Queue(queue, out, seed=seed)
        self.interpolation = interpolation
        self.temperature, self.momentum = temperature, momentum
        self.ranks = ranks or Ranks()
        self._newest: Tensor | None = None

    @property
    def parts(self) -> dict[str, nn.Module]:
        """f, the key encoder, the queue, and the number of updates for which it was mixed."""
        return {
            "encoder": self.f,
            "target": self.target,
            "queue": self.queue,
            "interpolation": self.interpolation,
        }

    @torch.no_grad()
    def frozen(self, views: Views) -> tuple[Outputs, ...]:
        """The keys of the positives' views."""
        return ({}, *(self.target(v) for v in views[1:]))

    def loss(self, outputs: Sequence[Outputs], frozen: Sequence[Outputs], labels: Tensor | None) -> dict[str, Tensor]:
        """InfoNCE in nats, the mean over the positives."""
        h = normalize(outputs[0]["projection"])
        keys = [normalize(output["projection"]) for output in frozen[1:]]
        self._newest = keys[0]
        mixed, _ = self.interpolation(self.queue.rows)
        against = torch.logsumexp(h @ mixed.to(h.dtype).T / self.temperature, dim=1)
        positives = torch.stack([(h * k).sum(dim=1) / self.temperature for k in keys])
        return {"loss": F.softplus(against - positives, threshold=EXACT).mean()}

    def chance(self, K: int) -> dict[str, float]:
        """ln(1 + Q)."""
        return {"chance": math.log1p(len(self.queue.rows))}

    def after_step(self, update: int) -> None:
        """The key encoder follows f; the keys of all ranks are enqueued."""
        assert self._newest is not None
        follow(self.target, self.f, momentum=self.momentum(update))
        self.queue.push(gather_rows(self._newest, self.ranks.group))
        self.interpolation.update.fill_(update + 1)


class NegFTInBatch(Method):
    """SimCLR with mixed negatives.

    Args:
        backbone: the encoder to train.
        hidden, out: widths of the projector.
        temperature: tau.
        interpolation: mixes the rows of a batch.
        views: V.
        ranks: the processes that share a batch.
    """

    def __init__(
        self,
        backbone: ResNet,
        *,
        hidden: int,
        out: int,
        temperature: float,
        interpolation: Interpolation,
        views: int = 2,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__()
        self.f = Branch(backbone, Projector(backbone.feature_dim, hidden, out))
        self.interpolation = interpolation
        self.temperature = temperature
        self.views = views
        self.ranks = ranks or Ranks()

    @property
    def parts(self) -> dict[str, nn.Module]:
        """f, and the number of updates for which negatives were mixed."""
        return {"encoder": self.f, "interpolation": self.interpolation}

    def loss(self, outputs: Sequence[Outputs], frozen: Sequence[Outputs], labels: Tensor | None) -> dict[str, Tensor]:
        """InfoNCE in nats, the mean over views and their positives; 0 for rows without a negative."""
        h_KVD = torch.stack([normalize(output["projection"]) for output in outputs], dim=1)
        K, V, _ = h_KVD.shape
        rows = gather_rows(h_KVD, self.ranks.group).flatten(0, 1)  # in the order of the samples, whatever the ranks
        mixed, partner = self.interpolation(rows)

        sample = torch.arange(len(rows), device=rows.device) // V
        own = (torch.arange(K, device=rows.device) + self.ranks.rank * K).repeat_interleave(V)[:, None]
        contains = (sample == own) | (sample[partner] == own)
        without = contains.all(dim=1, keepdim=True)
        logits = h_KVD.flatten(0, 1) @ mixed.T / self.temperature
        against = torch.logsumexp(logits.masked_fill(contains & ~without, -math.inf), dim=1)

        positives = (h_KVD @ h_KVD.mT / self.temperature).flatten(0, 1)  # (K V, V), of which a row is its own
        losses = torch.where(without, 0.0, F.softplus(against[:, None] - positives, threshold=EXACT))
        own_view = torch.eye(V, dtype=torch.bool, device=rows.device).repeat(K, 1)
        return {"loss": losses.masked_fill(own_view, 0.0).sum() / (K * V * (V - 1))}

    def chance(self, K: int) -> dict[str, float]:
        """ln(1 + (K - 2) V): the mixed rows without an anchor's sample, if no row is mixed with its own sample."""
        return {"chance": math.log1p((K - 2) * self.views)}

    def after_step(self, update: int) -> None:
        """The next update draws another mixture."""
        self.interpolation.update.fill_(update + 1)
