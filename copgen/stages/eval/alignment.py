"""`copgen eval alignment`: how an encoder arranges pairs of images, without labels, and `results.json`.

The pairs are anchors and positives of a pairs folder, or two views of each image of a dataset. The embeddings are the
encoder's features; those of the projector, which pretraining pulled together, if its run still has a checkpoint; and
the features of an untrained encoder of the same architecture.

Legend: K batch size of the InfoNCE loss; v, v' (K, C, S, S) the images of K pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen import views
from copgen.data.batches import in_colours
from copgen.data.loaders.choice import build_loader
from copgen.data.loaders.loader import LoaderConfig
from copgen.data.opening import open_source
from copgen.data.source import Source
from copgen.encoders import Encoder
from copgen.encoders.encoder import encoder_file
from copgen.evaluation.pair_geometry import pair_geometry
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import versions
from copgen.runtime.path_errors import path_errors
from copgen.runtime.seeds import seeded
from copgen.stages.eval.finished_result import KEY, finished_result, key_of
from copgen.stages.eval.opening import FORMAT, SPEED, encoder_document, open_encoder, results_file
from copgen.stages.eval.out_of_memory import memory_errors
from copgen.stages.eval.projector import trained_projector
from copgen.stages.eval.settings.alignment import EvalAlignmentSettings
from copgen.storage.files import sha256_of, write_json

KIND = "alignment"
DATASET = "digits"
Embed = Callable[[Tensor], Mapping[str, Tensor]]


@path_errors()
@memory_errors
def eval_alignment(
    settings: EvalAlignmentSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Measure an encoder on pairs, write `results.json`, and return its content; deterministic to the byte on the CPU.

    Args:
        settings: the encoder, the pairs, what is measured.
        out: the folder for `results.json`; None: that of the settings, by default `eval/alignment` beside the encoder.
        overwrite: evaluate again; otherwise a finished result with the same settings, encoder and data is returned.
        events: receives progress and messages.

    Raises:
        UsageError: fewer pairs than a batch of the loss, an unknown dataset or policy, images of another channel count.
        DataError: an encoder or pairs that fail verification, non-finite embeddings.
        EnvironmentFault: no such device, or a folder that is not writable.
    """
    events = events or Silent()
    dataset = None if settings.pairs is not None else settings.dataset or DATASET
    name = str(settings.pairs or dataset)
    source = open_source(
        pairs=settings.pairs,
        dataset=dataset,
        seed=settings.seed,
        split=settings.split,
        root=settings.data_root,
        events=events,
    )
    K = settings.loss_batch
    N = min(settings.n, len(source)) // K * K
    if not N:
        raise UsageError(
            f"A batch of {K:,} for the InfoNCE loss is larger than the {min(settings.n, len(source)):,} pairs.",
            fix=f"Pass --loss-batch {min(settings.n, len(source))} or less.",
        )
    encoder, device = open_encoder(settings, source.channels, source.size, name=name, events=events)
    T_x = policy_of(settings, source, encoder)
    projector, why = trained_projector(settings.ckpt, encoder)
    if projector is None:
        events.say(f"Projections are not measured: {why}.")
    document = {
        "format": FORMAT,
        "kind": f"eval-{KIND}",
        "projector": why,
        "inputs": source.inputs,
        "encoder": encoder_document(encoder, sha256_of(encoder_file(settings.ckpt))),
        "device": device.type,
        "versions": versions(),
    }
    file = results_file(settings, KIND, out)
    key = key_of({**document, "name": name, "settings": settings.model_dump(mode="json", exclude=SPEED)})
    if (finished := finished_result(file, key, overwrite=overwrite, events=events)) is not None:
        return finished
    fresh = untrained(encoder, settings.seed).to(device) if settings.untrained else None

    def embed(images: Tensor) -> Mapping[str, Tensor]:
        y = encoder(images)
        found = {"features": y}
        if projector is not None:
            found["projections"] = projector(y)
        if fresh is not None:
            found["untrained_features"] = fresh(images)
        return found

    sides = embedded(settings, source, T_x, embed, N, encoder.config.in_channels, device, events)
    result = {
        **document,
        KEY: key,
        "seed": settings.seed,
        "data": {
            "pairs" if settings.pairs is not None else "dataset": name,
            "split": None if dataset is None else settings.split,
            "views": T_x.name,
            "size": T_x.size or encoder.config.image_size,
            "measured": N,
            "of": len(source),
        },
        **{
            space: asdict(pair_geometry(h, h_pos, batch=K, temperature=settings.temperature))
            for space, (h, h_pos) in sides.items()
        },
        "info_nce": {"batch": K, "temperature": settings.temperature},
    }
    write_json(file, result)
    return result


def policy_of(settings: EvalAlignmentSettings, source: Source, encoder: Encoder) -> views.Policy:
    """The views of both images of a pair, in [0, 1], of the encoder's size.

    Those of pretraining for a dataset; pairs are as they are, of the largest central square.
    """
    size = settings.size or encoder.config.image_size
    name = settings.augment or ("none" if settings.pairs is not None else encoder.config.views)
    T_x = views.policy(name)
    if name != "none":
        return T_x.model_copy(update={"size": size, "normalise": None})  # the encoder normalises
    return T_x if source.size == (size, size) else T_x.model_copy(update={"size": size, "centre": 1.0})


def untrained(encoder: Encoder, seed: int) -> Encoder:
    """A new encoder of the same shape, initialised from the seed; its batch norms have seen no image."""
    with seeded(seed, "eval/untrained"):
        return Encoder(encoder.config.build(), encoder.config)


@torch.no_grad()
def embedded(
    settings: EvalAlignmentSettings,
    source: Source,
    T_x: views.Policy,
    embed: Embed,
    count: int,
    channels: int,
    device: torch.device,
    events: Events,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Of each space the embeddings h, h' (N, D) of `count` random pairs, on the CPU.

    Raises:
        DataError: one is not finite, or an image cannot be read.
    """
    config = LoaderConfig(
        source=source, policy=T_x, seed=settings.seed, count=2, device=device, workers=settings.workers
    )
    loader = build_loader("torch", config).loader
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    events.begin("eval alignment", total=count, unit="pairs")
    try:
        with closing(loader):
            for samples in batches_of(count, settings.batch):
                both = torch.cat(loader[samples].views)
                for space, h in embed(in_colours(2.0 * both - 1.0, channels)).items():
                    anchors, positives = h.float().cpu().chunk(2)
                    parts.setdefault(space, []).append((anchors, positives))
                events.advance(samples.stop, {})
    finally:
        events.end()
    sides = {space: tuple(torch.cat(side) for side in zip(*found, strict=True)) for space, found in parts.items()}
    for space, found in sides.items():
        if not all(bool(h.isfinite().all()) for h in found):
            raise DataError(
                f"The encoder returns non-finite {space.replace('_', ' ')}.",
                fix="Its training diverged; train it again.",
            )
    return {space: (h, h_pos) for space, (h, h_pos) in sides.items()}


def batches_of(count: int, batch: int) -> Iterator[range]:
    """The sample indices 0 to count - 1, batch by batch."""
    for start in range(0, count, batch):
        yield range(start, min(start + batch, count))
