"""The part of `copgen eval detect` after training: statistics of batch norms, and detections of the test images.

Both are kept in `detections/` of the run folder, the detections in files of a few images, so that a run that is stopped
resumes there. With several ranks, each takes a share of the images of a file; rank 0 writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from copgen.data.detection_batches import DetectionBatch, DetectionLoader
from copgen.data.voc import VocImages
from copgen.evaluation.detection.boxes import Detections
from copgen.evaluation.detection.config import DETECTIONS
from copgen.evaluation.detection.detector import Detector
from copgen.evaluation.detection.inference import COLUMNS, detect
from copgen.evaluation.detection.statistics import renew_statistics
from copgen.runtime.signals import StopRequest
from copgen.storage.tensors import is_whole, load_tensors, save_tensors
from copgen.training.run import Run

FOLDER, KIND = "detections", "detections"
STATISTICS = "statistics.safetensors"
IMAGES = 50  # of a file
NORM = ("running_mean", "running_var", "num_batches_tracked")  # the buffers of batch norms


class Tests:
    """What follows the training of a run.

    Args:
        run: with its folder open.
        detector: trained.

    Raises:
        Stopped: a signal arrived; the finished files are kept, and the same call resumes.
    """

    def __init__(self, run: Run, detector: Detector) -> None:
        self.run, self.detector, self.folder = run, detector, run.path / FOLDER

    def forget(self) -> None:
        """Remove what is there, which other weights have found."""
        if self.run.ranks.first:
            shutil.rmtree(self.folder, ignore_errors=True)

    def renew(self, loader: DetectionLoader, updates: range) -> None:
        """Compute the statistics of all batch norms over these batches, or load those that are there."""
        path = self.folder / STATISTICS
        if not len(updates):
            return
        if not self.run.ranks.any(self.run.ranks.first and is_whole(path)):
            self.detector.train()
            with StopRequest() as signals:
                renew_statistics(self.detector, self._batches(loader, updates, signals), self._pass)
            self._save(path, self._statistics())
        saved = load_tensors(path, kind=KIND)[0] if self.run.ranks.first else None
        saved = self.run.ranks.broadcast(saved)
        for name, value in self._statistics().items():
            value.copy_(saved[name])

    def detections(self, source: VocImages, *, side: int, longest: int, workers: int) -> Detections:
        """The detections of all images, on rank 0; on others none.

        Args:
            source: the test images.
            side, longest: as `detect`.
            workers: threads that decode.
        """
        self.detector.eval()
        run, ranks, channels = self.run, self.run.ranks, self.detector.config.encoder.in_channels
        run.events.begin("eval detect: test", total=len(source), unit="images")
        try:
            with StopRequest() as signals, ThreadPoolExecutor(workers) as threads:
                for first in range(0, len(source), IMAGES):
                    path, items = self._file(first), range(first, min(first + IMAGES, len(source)))
                    if ranks.any(ranks.first and is_whole(path)):
                        continue
                    self._stop(signals, f"after {first:,} of {len(source):,} test images")
                    own = items[ranks.rank :: ranks.world]
                    table = torch.zeros(len(items), DETECTIONS, COLUMNS, device=run.device)
                    decoded = threads.map(partial(source.pixels, channels=channels), own)
                    with ranks.together():
                        for item, pixels in zip(own, decoded, strict=True):
                            found = detect(self.detector, pixels, side=side, longest=longest)
                            table[item - first, : len(found)] = found.to(run.device)
                    self._save(path, {"table": ranks.total(table)})
                    run.events.advance(items.stop, {})
        finally:
            run.events.end()
        return self._collected(len(source)) if ranks.first else _flat([])

    def _batches(self, loader: DetectionLoader, updates: range, signals: StopRequest) -> Iterator[DetectionBatch]:
        self.run.events.say(f"Computing the statistics of batch norms over {len(updates):,} batches.")
        for update in updates:
            self._stop(signals, "before the statistics of batch norms")
            yield loader[update]

    def _pass(self, batch: DetectionBatch) -> None:
        self.detector(batch.images, batch.sizes, batch.targets, batch.samples)

    def _stop(self, signals: StopRequest, where: str) -> None:
        if self.run.ranks.any(signals.received is not None):
            raise signals.stopped(f"{where}; the state is saved")

    def _statistics(self) -> dict[str, Tensor]:
        """The buffers of the batch norms."""
        buffers = self.detector.named_buffers()
        return {name: value for name, value in buffers if name.endswith(NORM)}

    def _save(self, path: Path, tensors: dict[str, Tensor]) -> None:
        with self.run.ranks.together():
            if self.run.ranks.first:
                save_tensors(path, tensors, kind=KIND, header={})

    def _file(self, first: int) -> Path:
        return self.folder / f"images-{first:06d}.safetensors"

    def _collected(self, images: int) -> Detections:
        return _flat([load_tensors(self._file(first), kind=KIND)[0]["table"] for first in range(0, images, IMAGES)])


def _flat(tables: list[Tensor]) -> Detections:
    """Detections of tables (images, DETECTIONS, COLUMNS); rows that are not used have a score of 0."""
    table = torch.cat([*tables, torch.zeros(0, DETECTIONS, COLUMNS)]).numpy()
    image, place = np.nonzero(table[:, :, 1])
    rows = table[image, place]
    return Detections(image, rows[:, 0].astype(np.int64), rows[:, 2:], rows[:, 1])
