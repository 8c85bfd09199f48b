"""The frozen linear probe beside `copgen eval finetune`: the same labels, without changing the encoder.

Up to 10,000 labels it is logistic regression, as in `eval few-shot`; beyond, the heads of `eval linear --probe sgd`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from copgen.data.sampler import EpochSampler
from copgen.data.splits import SPLITS
from copgen.evaluation.linear_heads import LinearHeads
from copgen.evaluation.logistic import SMALL, Labelled, choose, one_thread, top1
from copgen.evaluation.logistic_cuda import solver
from copgen.evaluation.sgd_probe import scaled, train_heads
from copgen.stages.eval.opening import Opened
from copgen.stages.eval.settings.finetune import EvalFinetuneSettings
from copgen.stages.eval.sgd import BATCH, GRID
from copgen.stages.eval.trials import EPOCHS


class FrozenProbe:
    """Fits probes on frozen features, which are extracted when the first is needed."""

    def __init__(self, data: Opened, settings: EvalFinetuneSettings) -> None:
        self.data, self.settings = data, settings

    @cached_property
    def _parts(self) -> tuple[Labelled, Labelled, Labelled]:
        """Training images as they were extracted; the others standardised over them, which needs no labels."""
        train, validation, test = (
            Labelled(self.data.features(split).numpy(), self.data.labels(split).numpy()) for split in SPLITS
        )
        return train, validation.standardised(train), test.standardised(train)

    def __call__(self, rows: Tensor) -> dict[str, Any]:
        """The test accuracy with the labels of these training images (n,)."""
        train, validation, test = self._parts
        few = train.subset(rows.numpy()).standardised(train)
        return (self._lbfgs if len(rows) <= SMALL else self._sgd)(few, validation, test)

    def _lbfgs(self, train: Labelled, validation: Labelled, test: Labelled) -> dict[str, Any]:
        how = {"c_grid": self.settings.c_grid, "max_iterations": self.settings.max_iterations}
        with one_thread():
            chosen = choose(train, validation, **how, fit=solver(self.data.device))  # type: ignore[arg-type]
            return {
                "probe": "lbfgs",
                "top1": top1(chosen.model, test),
                "C": chosen.C,
                "converged": chosen.converged,
            }

    def _sgd(self, *parts: Labelled) -> dict[str, Any]:
        device = self.data.device
        (features, labels), validation, test = (
            (torch.from_numpy(part.features).float().to(device), torch.from_numpy(part.labels)) for part in parts
        )
        sampler, labels = EpochSampler(len(labels), self.settings.seed), labels.to(device)

        def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
            items = sampler[range(epoch * len(labels), (epoch + 1) * len(labels))]
            for some in torch.split(items, BATCH):
                yield features[some], labels[some]

        heads = LinearHeads(self.data.encoder.feature_dim, len(self.data.classes), scaled(GRID, BATCH), device=device)
        best = train_heads(heads, batches, validation, epochs=EPOCHS).best
        logits = torch.addmm(best.bias, test[0], best.weight)
        accuracy = float((logits.argmax(dim=1).cpu() == test[1]).double().mean())
        return {"probe": "sgd", "top1": accuracy, "lr": GRID[best.head], "epoch": best.epoch}
