"""Metrics of the encoder during training, at an interval: some that need no labels, and probes on labelled images.

Without labels: RankMe of the features, alignment and uniformity of the projections, on the first samples of the run.
With `monitor`, a labelled dataset: a nearest-neighbour and a linear probe, fitted on its training split and measured on
its validation split; the test split is never touched.

Legend: N images, D feature dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

from copgen import views
from copgen.data.batches import batches
from copgen.data.datasets import Images, needs_labels, open_dataset
from copgen.data.loaders.choice import build_loader
from copgen.data.loaders.loader import LoaderConfig, size_of_views
from copgen.data.skipped import Skipped
from copgen.data.source import Source
from copgen.data.splits import Split
from copgen.evaluation.geometry import alignment, rank_me, uniformity
from copgen.evaluation.labels import check_labels
from copgen.evaluation.logistic import Labelled, one_thread, top1
from copgen.evaluation.logistic_cuda import solver
from copgen.evaluation.neighbours import knn_top1
from copgen.methods.method import Method
from copgen.runtime import philox
from copgen.stages.pretrain.settings import PretrainSettings

SAMPLES = 2048  # of the run, for what needs no labels
ROWS = 256  # that pass f at once, whatever the batch and the chunks of the training
BANK, QUERIES = 10_000, 5_000  # most images of the training and validation splits
NEIGHBOURS = 20
ITERATIONS = 200


class Monitor:
    """Measures the method of a run; the same at the same update, whatever was measured before.

    Args:
        settings: of the run.
        source: what it learns from.
        policy: its T_x.
        skipped: unreadable images that the run tolerates.
        method: what it trains.
        device: where.
    """

    def __init__(
        self,
        settings: PretrainSettings,
        source: Source,
        policy: views.Policy,
        skipped: Skipped,
        method: Method,
        device: torch.device,
    ) -> None:
        self.settings, self.source, self.policy, self.skipped = settings, source, policy, skipped
        self.method, self.device = method, device
        self.bank: Images | None = None
        if settings.monitor is not None:
            self.bank, self.queries = self._labelled("train"), self._labelled("validation")
            labels: dict[Split, Tensor | None] = {"train": self.bank.labels, "validation": self.queries.labels}
            check_labels(labels, self.bank.classes, dataset=settings.monitor)

    @torch.no_grad()
    def metrics(self) -> dict[str, float]:
        """The metrics of the current weights; batch norms use their running statistics, and nothing is changed."""
        was_training = self.method.training
        self.method.eval()
        try:
            return {**self._without_labels(), **self._with_labels()}
        finally:
            self.method.train(was_training)

    def _without_labels(self) -> dict[str, float]:
        K = self.settings.batch
        count = max(K, min(SAMPLES, len(self.source)) // K * K)
        config = LoaderConfig(
            source=self.source,
            policy=self.policy,
            seed=self.settings.seed,
            count=2,
            device=self.device,
            workers=self.settings.workers,
            skipped=self.skipped,
        )
        loader = build_loader("torch", config).loader
        features, h, h_pos = [], [], []
        try:
            for start in range(0, count, ROWS):
                v, v_pos = loader[range(start, min(start + ROWS, count))].views[:2]
                outputs, positives = self._outputs(v), self._outputs(v_pos)
                features.append(outputs[0])
                h.append(outputs[1])
                h_pos.append(positives[1])
        finally:
            loader.close()
        anchors = torch.cat(h)
        return {
            "rank_me": rank_me(torch.cat(features)),
            "alignment": alignment(anchors, torch.cat(h_pos)),
            "uniformity": uniformity(anchors),
        }

    def _outputs(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Features and projections (K, D), float32."""
        f = self.method.f
        y = f.backbone(v.to(next(f.backbone.parameters()).dtype))
        return y.float(), f.projector(y).float()

    def _with_labels(self) -> dict[str, float]:
        if self.bank is None:
            return {}
        bank, labels = self._features(self.bank, BANK)
        queries, truth = self._features(self.queries, QUERIES)
        neighbours = knn_top1(bank, labels, queries, truth, ks=(NEIGHBOURS,))[NEIGHBOURS]
        train = Labelled(bank.double().cpu().numpy(), labels.numpy())
        validation = Labelled(queries.double().cpu().numpy(), truth.numpy())
        with one_thread():
            model, _ = solver(self.device)(train.standardised(train), 1.0, max_iterations=ITERATIONS)
        return {"knn_top1": neighbours, "linear_top1": top1(model, validation.standardised(train))}

    def _labelled(self, split: Split) -> Images:
        name = str(self.settings.monitor)
        return needs_labels(open_dataset(name, split, root=self.settings.data_root), name, "--monitor")

    def _features(self, images: Images, most: int) -> tuple[Tensor, Tensor]:
        """Features (N, D) and labels (N,) of at most that many images, the same random ones each time."""
        assert images.labels is not None
        items = philox.permutation(0, len(images), stream="pretrain/monitor")[:most].sort().values
        backbone = self.method.backbone
        dtype = next(backbone.parameters()).dtype
        found = [
            backbone(views.plain(x, self.policy).to(dtype)).float()
            for x in batches(
                images,
                size=max(size_of_views(self.source, self.policy)),
                channels=self.source.channels,
                items=items,
                device=self.device,
                workers=self.settings.workers,
            )
        ]
        return torch.cat(found), images.labels[items]
