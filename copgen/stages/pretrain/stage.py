"""`copgen pretrain`: an encoder learns from pairs by SimCLR (Chen et al. 2020), two views of each pair per update.

The pairs come from a pairs folder (x, x' = G(z), G(z')), or from real images (x' = x), which is the reference row of
the paper's tables.

Legend: K batch size; x, x' (K, C, H, W) images in [-1, 1]; v, v' views; h, h' (K, D) embeddings.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from copgen import encoders, views
from copgen.data import digits
from copgen.encoders.encoder import FILE_NAME
from copgen.objectives import chance_level, info_nce
from copgen.pairs import PairSet, open_pairs
from copgen.pairs.pixels import from_uint8
from copgen.runtime import philox
from copgen.runtime.errors import UsageError, unknown
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import resolve_device
from copgen.runtime.seeds import seeded
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.storage.files import read_json, write_json
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training
from copgen.training.run_folder import Logged, RunFolder, read_metrics

SUMMARY = "summary.json"


class Source(Protocol):
    """Where the pairs come from."""

    def __len__(self) -> int: ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""

    @property
    def inputs(self) -> dict[str, str]:
        """What the images are, by hash, so that a run does not go on with others."""

    def batch(self, indices: Tensor, visits: range) -> tuple[Tensor, Tensor]:
        """x and x' (K, C, H, W) in [-1, 1] for indices (K,), at these visits of the run."""


class PairsSource:
    """Generated pairs; of several positives one at random at each visit (GenRep)."""

    def __init__(self, pairs: PairSet, *, seed: int) -> None:
        self.pairs = pairs
        self.seed = seed
        self.image_shape: tuple[int, int, int] = pairs.plan.image_shape
        self.inputs = {"pairs": pairs.plan.digest}

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, indices: Tensor, visits: range) -> tuple[Tensor, Tensor]:
        u = philox.uniform(self.seed, visits, 1, stream="pretrain/positive")[:, 0]
        x, x_pos = self.pairs.batch(indices, which=(u * self.pairs.plan.positives).long())
        return from_uint8(x), from_uint8(x_pos)


class RealSource:
    """Real images, each its own positive."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.image_shape = (images.shape[1], images.shape[2], images.shape[3])
        self.inputs: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Tensor, visits: range) -> tuple[Tensor, Tensor]:
        x = self.images[indices]
        return x, x


def open_source(settings: PretrainSettings) -> Source:
    """The pairs folder, verified against its records, or the training split of a dataset.

    Raises:
        DataError: a shard is missing, cut or altered; the error names the file.
        UsageError: an unknown dataset, or neither pairs nor dataset.
    """
    if settings.dataset is not None:
        if settings.dataset != "digits":
            raise unknown("dataset", settings.dataset, ["digits"])
        return RealSource(digits.load("train").images)
    if settings.pairs is None:
        raise UsageError("There is nothing to learn from.", fix="Name a pairs folder with --pairs.")
    return PairsSource(open_pairs(settings.pairs, verify="full"), seed=settings.seed)


def pretrain(
    settings: PretrainSettings, *, out: Path, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Train an encoder and write `encoder.safetensors` into the run folder `out`; returns its summary.

    Raises:
        UsageError, DataError, EnvironmentFault: as the settings, the pairs and the folder give cause.
        Diverged: the loss is not finite; raised before anything is updated with it.
        Stopped: a signal came; the state is saved and the same call goes on.
    """
    device = resolve_device(settings.device)
    T_x = views.policy(settings.views)
    source = open_source(settings)
    K, seed = settings.batch, settings.seed
    if len(source) < K:
        raise UsageError(f"A batch of {K} does not fit into {len(source)} pairs.", fix="Lower --batch.")
    updates = count_updates(settings, len(source))
    # Names that cannot be meant are refused here, before anything in the folder is touched.
    channels, size, _ = source.image_shape
    config = encoders.EncoderConfig(arch=settings.encoder, in_channels=channels, image_size=size, views=settings.views)
    with seeded(seed, "pretrain/f"):
        backbone = config.build()
        hidden, width = settings.projector
        f = nn.Sequential(backbone, encoders.Projector(backbone.feature_dim, hidden, width))
    f = f.to(device).to(memory_format=torch.channels_last).train()
    views.plain(torch.zeros(1, *source.image_shape), T_x)
    folder = RunFolder(out, stage="pretrain", artefact=FILE_NAME)
    with folder.open(settings, device=device, overwrite=overwrite, inputs=source.inputs) as run:
        if run.finished:
            return dict(read_json(run.path / SUMMARY))
        events = Logged(events or Silent(), run.path / "log.txt")
        optimizer = build_optimizer(settings, f)
        order = VisitOrder(len(source), seed)
        with Training(
            run,
            state={"encoder": f, "optimizer": optimizer},
            updates=updates,
            samples_per_update=K,
            checkpoint_every=settings.checkpoint_every,
            events=events,
            title="pretrain",
        ) as training:
            for update in training:
                visits = range(update * K, (update + 1) * K)
                x, x_pos = (images.to(device) for images in source.batch(order[visits], visits))
                v = views.augment(x, T_x, seed=seed, rows=visits, stream="views/anchor")
                v_pos = views.augment(x_pos, T_x, seed=seed, rows=visits, stream="views/positive")
                h, h_pos = f(torch.cat((v, v_pos))).chunk(2)
                loss = info_nce(h, h_pos, temperature=settings.temperature, anchors="both")
                training.check_finite(update, loss=loss)
                set_learning_rate(optimizer, settings, update, updates)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                training.log(update, {"loss": loss.item(), "chance": chance_level(K)})
        losses = [line["loss"] for line in read_metrics(run.path / "metrics.jsonl")[-20:]]
        summary = {
            "updates": updates,
            "samples": updates * K,
            "pairs": len(source),
            "loss": sum(losses) / len(losses),
            "chance": chance_level(K),
        }
        write_json(run.path / SUMMARY, summary)
        made_by = {"stage": "pretrain", "settings": settings.tree(), "summary": summary}
        encoders.save_encoder(run.artefact, backbone, config, made_by)
        return summary


def count_updates(settings: PretrainSettings, pairs: int) -> int:
    """The number of updates: as given, or whole batches of the epochs."""
    return settings.updates or max(1, math.floor(settings.epochs * pairs / settings.batch))


class VisitOrder:
    """Which of n pairs each visit sees: visit s is place s mod n of a random order drawn for epoch s // n."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.seed = seed
        self._orders: dict[int, Tensor] = {}

    def __getitem__(self, visits: range) -> Tensor:
        """The pairs (K,), int64, of a range of visits; the range may reach into the next epoch."""
        first, last = visits.start // self.n, (visits.stop - 1) // self.n
        self._orders = {epoch: self._order(epoch) for epoch in range(first, last + 1)}
        offset = first * self.n
        return torch.cat(list(self._orders.values()))[visits.start - offset : visits.stop - offset]

    def _order(self, epoch: int) -> Tensor:
        if epoch in self._orders:
            return self._orders[epoch]
        return philox.permutation(self.seed, self.n, stream=f"pretrain/order/{epoch}")


def build_optimizer(settings: PretrainSettings, f: nn.Module) -> torch.optim.Optimizer:
    """SGD with momentum 0.9, or Adam with its usual betas."""
    if settings.optimizer == "adam":
        return torch.optim.Adam(f.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(f.parameters(), lr=settings.lr, momentum=0.9, weight_decay=settings.weight_decay)


def set_learning_rate(optimizer: torch.optim.Optimizer, settings: PretrainSettings, update: int, updates: int) -> None:
    """A cosine from the peak down to `final_lr` of it."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * update / updates))
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * (settings.final_lr + (1.0 - settings.final_lr) * cosine)


def estimate(settings: PretrainSettings) -> dict[str, float]:
    """Seconds, peak memory and disk of the whole run, from a few updates of it in a temporary folder."""
    updates = count_updates(settings, len(open_source(settings)))
    short = settings.model_copy(update={"updates": min(updates, 5)})
    return rehearse_training(lambda folder: pretrain(short, out=folder), updates=updates)
