"""`copgen eval detect`: train Faster R-CNN from an encoder on PASCAL VOC, and measure its average precision.

Everything is trained, nothing is frozen, and nothing is selected: the last weights are tested. Training reads like that
of every stage; what comes after it is in detections.py.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from copgen import encoders, views
from copgen.data.detection_batches import DetectionLoader
from copgen.data.voc import SETS, VocFolders, VocImages, find_voc, open_voc
from copgen.data.voc_annotation import CLASSES
from copgen.distributed.ranks import Ranks, check_divides
from copgen.encoders.encoder import Encoder, encoder_file
from copgen.encoders.foreign.reading import SIZE
from copgen.encoders.synchronised import synchronise
from copgen.evaluation.detection.boxes import Detections
from copgen.evaluation.detection.coco_ap import coco_ap, need_faster_coco_eval
from copgen.evaluation.detection.config import NUMBERS, DetectorConfig
from copgen.evaluation.detection.detector import FILE_NAME, Detector, save_detector
from copgen.evaluation.detection.voc07_ap import voc07_ap
from copgen.report.grid import save_picture
from copgen.runtime.environment import own_cores
from copgen.runtime.events import Events
from copgen.runtime.machine import resolve_device, versions
from copgen.runtime.path_errors import path_errors
from copgen.runtime.seeds import seeded
from copgen.stages.eval.detections import Tests
from copgen.stages.eval.detections_sheet import detections_sheet
from copgen.stages.eval.opening import FORMAT, beside, check_channels, encoder_document
from copgen.stages.eval.out_of_memory import memory_errors
from copgen.stages.eval.settings.detect import STEPS, EvalDetectSettings
from copgen.storage.files import sha256_of, write_json
from copgen.training.data_parallel import averaging_gradients
from copgen.training.estimate import rehearse_training
from copgen.training.loop import Training
from copgen.training.optimizers import MOMENTUM
from copgen.training.run import Run, started
from copgen.training.schedules import Steps

KIND = "detect"
RESULTS, PICTURE = "results.json", "detections.png"
new_run = partial(started, stage="eval detect", artefact=FILE_NAME)


@path_errors()
@memory_errors
def eval_detect(
    settings: EvalDetectSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Train a detector and test it; a run folder with `results.json`, `detections.png` and `detector.safetensors`.

    With several processes (torchrun, --nproc), each takes its share of every batch and of the test images; only rank 0
    writes and logs.

    Args:
        settings: the encoder, the data, the training.
        out: the run folder, by default `eval/detect` beside the encoder; an unfinished run in it is resumed.
        overwrite: start from scratch.
        events: receives progress and messages.

    Returns:
        The content of `results.json`.

    Raises:
        UsageError: invalid settings; an encoder of images with other channels.
        DataError: missing or damaged data, or encoder.
        EnvironmentFault: faster-coco-eval is missing; the folder cannot be written, or the device is not there.
        Diverged: a loss is not finite; it was not used for an update.
        Stopped: a signal arrived; the state is saved and the same call resumes.
    """
    folder = Path(out or beside(settings.ckpt, KIND))
    with new_run(settings, folder, device=settings.device, overwrite=overwrite, events=events) as run:
        need_faster_coco_eval()
        return measure(settings, run)


@dataclass(frozen=True)
class Opened:
    """What a run reads.

    Attributes:
        encoder: where training starts.
        folders: of the data.
        train, test: the images.
    """

    settings: EvalDetectSettings
    encoder: Encoder
    folders: VocFolders
    train: VocImages
    test: VocImages

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Hashes."""
        sha256 = sha256_of(encoder_file(self.settings.ckpt))
        return {"encoder": sha256, "training images": self.train.digest, "test images": self.test.digest}


def open_inputs(settings: EvalDetectSettings, events: Events) -> Opened:
    """The encoder and the data; errors as `eval_detect`."""
    folders = find_voc(settings.dataset, root=settings.data_root)
    classes = settings.classes or CLASSES
    train, test = open_voc(folders.train, "train", classes=classes), open_voc(folders.test, "test", classes=classes)
    encoder = encoders.load(settings.ckpt, arch=settings.arch, views=settings.views, image_size=SIZE, events=events)
    name = str(folders.test[0])
    check_channels(encoder, 3, None, convert=settings.convert_channels, name=name, events=events)
    return Opened(settings, encoder, folders, train, test)


def measure(settings: EvalDetectSettings, run: Run) -> dict[str, Any]:
    """The part of this process in training and test, from where the run was stopped."""
    opened, length = open_inputs(settings, run.listener), settings.length
    check_divides(length.batch, {f"{run.ranks.world} ranks": run.ranks.world} if run.ranks.world > 1 else {})
    detector = build(settings, opened, run)
    network, tests = averaging_gradients(detector, run.ranks), Tests(run, detector)
    with closing(build_loader(settings, opened, run)) as loader:
        with training_of(settings, opened, run, detector) as training:
            if training.done < length.updates and not run.finished:
                tests.forget()
            for update in training:
                with training.waiting():
                    batch = loader[update]
                training.step(network(batch.images, batch.sizes, batch.targets, batch.samples))
        if run.finished:
            return run.finish(dict, lambda *_: None)
        tests.renew(loader, range(length.updates, length.updates + settings.statistics))
    found = tests.detections(
        opened.test, side=settings.test_side, longest=length.max_side, workers=settings.workers or own_cores()
    )

    def save(path: Path, results: dict[str, Any]) -> None:
        picture = detections_sheet(opened.test, found, channels=opened.encoder.config.in_channels)
        save_picture(path.parent / PICTURE, picture)
        write_json(path.parent / RESULTS, results)
        save_detector(path, detector, run.made_by(inputs=opened.inputs))

    return run.finish(
        lambda: dict(run.ranks.broadcast(document(settings, opened, run, found) if run.ranks.first else None)), save
    )


def training_of(settings: EvalDetectSettings, opened: Opened, run: Run, detector: Detector) -> Training:
    """The training loop, with the optimizer and the schedule of detectron2."""
    length = settings.length
    assert settings.warmup is not None
    steps = tuple(round(part * length.updates) for part in STEPS)
    return Training(
        run,
        state={"detector": detector},
        optimizer=build_optimizer(detector, lr=length.lr, weight_decay=settings.weight_decay),
        schedule=Steps(length.lr, steps, settings.warmup),
        updates=length.updates,
        batch=length.batch,
        checkpoint_every=settings.checkpoint_every,
        title="eval detect",
        inputs=opened.inputs,
        note=f"{len(opened.train):,} images: {length.updates:,} updates of {length.batch:,}, "
        f"then {len(opened.test):,} test images.",
        read_every=settings.read_every,
        track=settings.track,
    )


def build(settings: EvalDetectSettings, opened: Opened, run: Run) -> Detector:
    """The detector on its device, in training mode, with new layers from the seed."""
    config = DetectorConfig(
        encoder=opened.encoder.config,
        backbone=settings.backbone,
        classes=opened.train.classes,
        anchors=settings.anchors,
        anchors_per_image=settings.anchors_per_image,
        regions_per_image=settings.regions_per_image,
    )
    network = opened.encoder.backbone.requires_grad_(True)
    with seeded(settings.seed, "detect"):
        detector = Detector(network, config, seed=settings.seed, ranks=run.ranks)
    detector = detector.to(run.device).train()
    synchronise(detector, run.ranks.group)
    return detector


def build_optimizer(detector: Detector, *, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """SGD with momentum; batch norms are not decayed, biases are, as in detectron2."""
    norms = [
        parameter
        for module in detector.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters()
    ]
    known = {id(parameter) for parameter in norms}
    others = [parameter for parameter in detector.parameters() if id(parameter) not in known]
    groups = [{"params": others, "weight_decay": weight_decay}, {"params": norms, "weight_decay": 0.0}]
    fused = all(parameter.is_cuda for parameter in others) or None
    return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, fused=fused)


def build_loader(settings: EvalDetectSettings, opened: Opened, run: Run) -> DetectionLoader:
    """The batches of training, and those of the statistics after it."""
    length, config = settings.length, opened.encoder.config
    return DetectionLoader(
        opened.train,
        views.policy(config.views),
        channels=config.in_channels,
        seed=settings.seed,
        batch=length.batch,
        updates=length.updates + settings.statistics,
        sides=settings.sides,
        longest=length.max_side,
        divisor=NUMBERS[settings.backbone].divisor,
        rank=run.ranks.rank,
        world=run.ranks.world,
        device=run.device,
        workers=settings.workers or own_cores(),
    )


def document(settings: EvalDetectSettings, opened: Opened, run: Run, found: Detections) -> dict[str, Any]:
    """The content of `results.json`."""
    classes, test = opened.test.classes, opened.test
    voc07 = voc07_ap(test.objects, found, classes=len(classes))
    coco = coco_ap(test.objects, found, classes=len(classes), images=len(test))
    sets = {
        "train": [f"{folder.name} {SETS['train']}" for folder in opened.folders.train],
        "test": [f"{folder.name} {SETS['test']}" for folder in opened.folders.test],
    }
    images = {"train": opened.train, "test": test}
    return {
        "format": FORMAT,
        "kind": "eval-detect",
        "seed": settings.seed,
        "dataset": {
            "name": " + ".join(sets["train"]),
            "sets": sets,
            "classes": len(classes),
            "images": {split: len(source) for split, source in images.items()},
            "objects": {split: len(source.objects) for split, source in images.items()},
            "difficult": {split: int(source.objects.difficult.sum()) for split, source in images.items()},
        },
        "inputs": opened.inputs,
        "encoder": encoder_document(opened.encoder, opened.inputs["encoder"]),
        "protocol": {
            "schedule": settings.schedule,
            **settings.length._asdict(),
            **settings.model_dump(mode="json", include={"backbone", "warmup", "weight_decay", "sides", "test_side"}),
            **settings.model_dump(mode="json", include={"anchors", "regions_per_image", "statistics"}),
            "tested": "the last weights",
        },
        "voc07": {"metric": "VOC07, 11 points, as detectron2 rounds", **voc07.document(classes)},
        "coco": {"metric": "COCO, 101 points", **coco.document(classes)},
        "detections": len(found.image),
        "device": run.device.type,
        "versions": versions(),
    }


def estimate(settings: EvalDetectSettings, *, world: int = 1) -> dict[str, float]:
    """Seconds, peak memory and disk of the training, from a few updates of it in a temporary folder; not of the test.

    With several ranks on this machine, it runs the share of rank 0 without the communication.
    """
    updates = settings.length.updates
    short = settings.replaced(updates=min(updates, 3))

    def rehearse(folder: Path) -> None:
        with new_run(short, folder, device=settings.device, ranks=Ranks(world=world), rehearsal=True) as run:
            opened = open_inputs(short, run.listener)
            detector = build(short, opened, run)
            with (
                closing(build_loader(short, opened, run)) as loader,
                training_of(short, opened, run, detector) as training,
            ):
                for update in training:
                    batch = loader[update]
                    training.step(detector(batch.images, batch.sizes, batch.targets, batch.samples))
            save_detector(folder / FILE_NAME, detector, {})

    return rehearse_training(rehearse, updates=updates, device=resolve_device(settings.device))
