"""NNCLR (Dwibedi et al. 2021): SimCLR with the nearest neighbour of an embedding in its place.

    L = mean over ordered pairs of views (v, v') of  InfoNCE( NN(z, Q), q(z') )

with z = g(f(v)), the prediction q(z'), and NN(z, Q) the row of the queue Q that is nearest to z, through which no
gradient flows. The queue holds the first view's projections of past updates; it is updated after the step.

InfoNCE is NT-Xent over both sides, as in lightly: a neighbour is contrasted with the other neighbours, too. The paper
contrasts it with the predictions only. The views pass one at a time, each with its own batch statistics.

Legend: K batch size; v (K, C, S, S) views; z projections, q(z) predictions (K, D); tau the temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from copgen.distributed.gather import gather_rows
from copgen.distributed.ranks import Ranks
from copgen.encoders import ResNet, mlp
from copgen.methods.branch import Branch, Outputs
from copgen.methods.method import Method
from copgen.methods.queue import Queue
from copgen.objectives import chance_level, info_nce
from copgen.objectives.reference import normalize


class NNCLR(Method):
    """InfoNCE(NN(z, Q), q(z')).

    Args:
        backbone: the encoder to train.
        projector: widths of g after the features: hidden layers, output.
        predictor: width of q's hidden layer.
        temperature: tau.
        queue: rows of Q.
        seed: of the run, for the first rows of Q.
        ranks: the processes that share a batch.
    """

    together = False

    def __init__(
        self,
        backbone: ResNet,
        *,
        projector: Sequence[int],
        predictor: int,
        temperature: float,
        queue: int,
        seed: int,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__()
        out = projector[-1]
        g, q = mlp((backbone.feature_dim, *projector), norm_last=True), mlp((out, predictor, out))
        self.f = Branch(backbone, g, q)
        self.queue = Queue(queue, out, seed=seed)
        self.temperature = temperature
        self.ranks = ranks or Ranks()
        self._newest: Tensor | None = None

    @property
    def parts(self) -> dict[str, nn.Module]:
        """f and the queue."""
        return {"encoder": self.f, "queue": self.queue}

    def loss(self, outputs: Sequence[Outputs], frozen: Sequence[Outputs], labels: Tensor | None) -> dict[str, Tensor]:
        """InfoNCE in nats."""
        z = [normalize(output["projection"].detach()) for output in outputs]
        neighbours = [self.queue.nearest(rows) for rows in z]
        self._newest = z[0]
        losses = []
        for i, j in permutations(range(len(outputs)), 2):
            q = normalize(outputs[j]["prediction"])
            losses.append(
                info_nce(neighbours[i], q, temperature=self.temperature, anchors="both", group=self.ranks.group)
            )
        return {"loss": torch.stack(losses).mean()}

    def chance(self, K: int) -> dict[str, float]:
        """ln(2K - 1)."""
        return {"chance": chance_level(K)}

    def after_step(self, update: int) -> None:
        """The projections of the first view, of all ranks, are enqueued."""
        assert self._newest is not None
        self.queue.push(gather_rows(self._newest, self.ranks.group))
