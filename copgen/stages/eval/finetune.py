"""`copgen eval finetune`: fine-tune the whole encoder and a linear head on some of the labels, and `results.json`.

The semi-supervised protocol of SimCLR, SwAV and VISSL: cross-entropy on 1 % and 10 % of the training labels, crops and
flips alone, SGD with Nesterov momentum, no weight decay. Learning rate and epoch are selected on validation images,
and the test images classified once for each draw of labels.

Legend: K batch size; x (K, C, S, S) images in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from copgen import views
from copgen.data.batches import in_colours
from copgen.data.datasets import Images
from copgen.data.loaders.choice import build_loader
from copgen.data.loaders.loader import LoaderConfig
from copgen.data.sampler import EpochSampler
from copgen.data.splits import Split
from copgen.distributed.ranks import Ranks
from copgen.evaluation.classifier import Classifier
from copgen.evaluation.few_labels import drawn, interval
from copgen.evaluation.scores import scores
from copgen.runtime import philox
from copgen.runtime.errors import Diverged
from copgen.runtime.events import Events, Silent
from copgen.stages.eval.frozen import FrozenProbe
from copgen.stages.eval.opening import Opened, opened, results_file
from copgen.stages.eval.out_of_memory import memory_errors
from copgen.stages.eval.settings.finetune import EvalFinetuneSettings
from copgen.stages.eval.sgd import augments
from copgen.stages.eval.trials import Found, Plan, Trial
from copgen.storage.files import write_json
from copgen.storage.tensors import save_tensors
from copgen.training.loop import Training
from copgen.training.optimizers import MOMENTUM
from copgen.training.run import Run, started

KIND = "finetune"
ARTEFACT = "classifier.safetensors"
PERCENT = (1, 10)  # of the labels: SimCLR, SwAV, VISSL
RATES = (0.01, 0.05, 0.2, 1.0)  # for 256 images
Batch = Callable[[range], tuple[Tensor, Tensor]]


@memory_errors
def eval_finetune(
    settings: EvalFinetuneSettings,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Fine-tune an encoder on some of the labels, write `results.json`, and return its content.

    The folder of the results is a run folder: an unfinished run in it is resumed exactly, a finished one returned.

    Args:
        settings: the encoder, the dataset, the numbers of labels, the training.
        out: that folder; None: that of the settings, by default `eval/finetune` beside the encoder.
        overwrite: start from scratch.
        events: receives progress and messages.

    Raises:
        UsageError: a class has fewer training images than labels are asked for; a run with other settings or data is
            there; as `eval_linear`.
        DataError, EnvironmentFault: as `eval_linear`.
        Diverged: every learning rate did.
        Stopped: a signal arrived; the state is saved and the same call resumes.
    """
    events = events or Silent()
    data = opened(settings, KIND, out=out, events=events)
    folder = results_file(settings, KIND, out).parent
    with started(
        settings,
        folder,
        stage="eval-finetune",
        artefact=ARTEFACT,
        device=settings.device,
        overwrite=overwrite,
        events=events,
        ranks=Ranks(),
    ) as run:
        return finetuned(data, settings, run)


def finetuned(data: Opened, settings: EvalFinetuneSettings, run: Run) -> dict[str, Any]:
    """All trials, from the newest checkpoint to the end."""
    how = wanted(settings)
    train_labels = data.labels("train").numpy()

    def rows_of(name: str, draw: int) -> Tensor:
        return torch.from_numpy(drawn(train_labels, **how[name], seed=settings.seed, draw=draw))

    plan = Plan(
        {name: len(rows_of(name, 0)) for name in how},  # refuses too many labels
        draws=settings.draws,
        rates=sorted({settings.lr} if settings.lr is not None else set(settings.lr_grid or RATES)),
        total=len(train_labels),
        epochs=settings.epochs,
        batch=settings.train_batch,
    )
    crops = augments(data, settings)
    classifier = Classifier(data.encoder, len(data.classes)).train()
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.0, momentum=MOMENTUM, nesterov=True)
    found, frozen = Found(), FrozenProbe(data, settings)
    validation = philox.permutation(settings.seed, len(data.labels("validation")), stream="eval/finetune/validation")
    validation = validation[: settings.validation_images].sort().values
    with (
        ExitStack() as held,
        Training(
            run,
            state={"classifier": classifier, "found": found},
            optimizer=optimizer,
            schedule=plan.lr,
            updates=plan.updates,
            batch=1,
            unit="updates",
            checkpoint_every=settings.checkpoint_every,
            title="eval finetune",
            inputs=inputs_of(data),
            note=f"{len(plan.trials):,} trials, {plan.updates:,} updates in all.",
        ) as training,
    ):
        loaded: tuple[str, int] | None = None
        for update in training:
            trial, own = plan.at(update)
            if own == 0:
                found.begin(trial)
                classifier.reset()
                optimizer.state.clear()
            if loaded != (trial.name, trial.draw):
                held.close()
                loaded = trial.name, trial.draw
                source = data.sources["train"].select(rows_of(*loaded))
                batch = _cropped(data, settings, source, held) if crops else _plain(data, settings, source)
            told = {"labels": trial.images, "draw": trial.draw, "lr": trial.lr(own)}
            lost = found.diverged  # a rate that is too high loses, and no more: nothing is computed any longer
            if not lost:
                x, labels = batch(range(own * trial.batch, (own + 1) * trial.batch))
                loss = F.cross_entropy(classifier(x), labels)
                found.diverged = not math.isfinite(loss.item())
            if found.diverged:
                training.log({"diverged": 1.0, **told}, finite=())
            else:
                training.step({"loss": loss}, told)
            if (epoch := trial.epoch(own)) is not None:
                _select(data, settings, classifier, found, trial, epoch, validation)
            if found.diverged and not lost:  # so that checkpoints are finite
                classifier.reset()
                optimizer.state.clear()
            if own + 1 == trial.updates:
                found.of_draw[f"{trial.rate:g}"] = found.history
                if trial.last:
                    result = _tested(data, settings, classifier, found)
                    probed = frozen(rows_of(trial.name, trial.draw))
                    found.draws.setdefault(trial.name, []).append({**result, "frozen": probed})
                    run.events.say(
                        f"{trial.name}, draw {trial.draw + 1}: Top-1 {100 * result['top1']:.1f} %, "
                        f"frozen {100 * probed['top1']:.1f} %."
                    )

    def save(path: Path, summary: dict[str, Any]) -> None:
        write_json(path.parent / "results.json", summary)
        header = {
            "config": data.encoder.config.model_dump(mode="json"),
            "classes": list(data.classes),
            "made_by": run.made_by(encoder=data.sha256),
        }
        save_tensors(path, found.weights, kind="classifier", header=header)

    largest = max(trial.rate for trial in plan.trials)
    if len({trial.rate for trial in plan.trials}) > 1 and any(
        draw["lr"] == largest for draws in found.draws.values() for draw in draws
    ):
        run.events.warn(f"The largest learning rate of the grid, {largest:g}, is the best: higher ones may be better.")
    return run.finish(partial(_summary, data, settings, plan, found, len(validation), crops), save)


def wanted(settings: EvalFinetuneSettings) -> dict[str, dict[str, Any]]:
    """The arguments of `drawn` for each number of labels, by its name."""
    if settings.labels:
        return {str(count): {"labels_per_class": count} for count in settings.labels}
    return {f"{share:g}%": {"percent": share} for share in settings.percent or PERCENT}


def inputs_of(data: Opened) -> dict[str, str]:
    """Hashes of the encoder and of the images of all splits, by name; those of training as their source names them."""
    held_out: tuple[Split, ...] = ("validation", "test")
    others = {f"{split} {name}": value for split in held_out for name, value in data.sources[split].inputs.items()}
    return {"encoder": data.sha256, **data.sources["train"].inputs, **others}


def _cropped(data: Opened, settings: EvalFinetuneSettings, source: Images, held: ExitStack) -> Batch:
    """Random crops and flips of the samples of a trial."""
    policy = views.policy("simclr", jitter=None, grayscale=0.0, normalise=None, size=data.size)
    config = LoaderConfig(
        source=source,
        policy=policy,
        seed=settings.seed,
        count=1,
        device=data.device,
        workers=settings.workers,
    )
    loader = build_loader("auto", config).loader
    held.callback(loader.close)

    def batch(samples: range) -> tuple[Tensor, Tensor]:
        made = loader[samples]
        assert made.labels is not None
        return in_colours(2.0 * made.views[0] - 1.0, data.channels), made.labels

    return batch


def _plain(data: Opened, settings: EvalFinetuneSettings, source: Images) -> Batch:
    """The images of the samples of a trial, as they are tested."""
    sampler = EpochSampler(len(source), settings.seed)
    known = source.labels
    assert known is not None

    def batch(samples: range) -> tuple[Tensor, Tensor]:
        items = sampler[samples]
        (x,) = data.images(source, items=items, batch=len(items))
        return x, known[items].to(data.device)

    return batch


def _ranked(
    data: Opened, settings: EvalFinetuneSettings, classifier: Classifier, split: Split, items: Tensor | None
) -> Tensor:
    """The most likely classes of the images of a split (N, 5)."""
    images = data.images(data.sources[split], items=items, batch=settings.batch)
    return torch.cat([classifier.ranked(x) for x in images])


def _select(
    data: Opened,
    settings: EvalFinetuneSettings,
    classifier: Classifier,
    found: Found,
    trial: Trial,
    epoch: int,
    items: Tensor,
) -> None:
    """Measure on validation images (N,), and keep the weights if they are the best of the draw."""
    if not found.diverged:
        ranked = _ranked(data, settings, classifier, "validation", items)
        found.diverged = bool((ranked < 0).any())
    if found.diverged:
        found.history.append(0.0)
        return
    top1 = float((ranked[:, 0] == data.labels("validation")[items]).double().mean())
    found.history.append(top1)
    if found.better(trial, top1):
        found.best = {"top1": top1, "rate": trial.rate, "epoch": float(epoch)}
        found.weights = classifier.weights()


def _tested(data: Opened, settings: EvalFinetuneSettings, classifier: Classifier, found: Found) -> dict[str, Any]:
    """The results of a draw with its best weights on the test images.

    Raises:
        Diverged: every learning rate did.
    """
    if found.best is None:
        raise Diverged("Every learning rate diverged.", fix="Pass a smaller one with --lr.")
    classifier.load_state_dict(found.weights)
    tested = scores(_ranked(data, settings, classifier, "test", None), data.labels("test"), classes=len(data.classes))
    return {
        "top1": tested.top1,
        "top5": tested.top5,
        "per_class": list(tested.per_class),
        "lr": found.best["rate"],
        "epoch": int(found.best["epoch"]),
        "validation_top1": dict(found.of_draw),
    }


def _summary(
    data: Opened, settings: EvalFinetuneSettings, plan: Plan, found: Found, validation: int, crops: bool
) -> dict[str, Any]:
    """The content of `results.json`."""
    trials = {trial.name: trial for trial in plan.trials}
    return {
        **data.document("eval-finetune"),
        "finetune": {name: _of_draws(data, trials[name], draws) for name, draws in found.draws.items()},
        "selected_on": "validation",
        "validation_images": validation,
        "lr_grid": sorted({trial.rate for trial in plan.trials}),
        "augmentation": "crop and flip" if crops else "none",
        "optimizer": "SGD, Nesterov momentum 0.9, no weight decay, cosine to 0, rates for 256 images",
    }


def _of_draws(data: Opened, trial: Trial, draws: list[dict[str, Any]]) -> dict[str, Any]:
    """The means over the draws of a number of labels."""

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    per_class = zip(*(draw["per_class"] for draw in draws), strict=True)
    top1, frozen = ([one["top1"] for one in some] for some in (draws, [draw["frozen"] for draw in draws]))
    return {
        "top1_mean": mean(top1),
        "interval95": interval(top1),
        "top5_mean": None if draws[0]["top5"] is None else mean([draw["top5"] for draw in draws]),
        "per_class": {
            name: None if None in values else mean(list(values))
            for name, values in zip(data.classes, per_class, strict=True)
        },
        "frozen": {"top1_mean": mean(frozen), "interval95": interval(frozen)},
        "draws": draws,
        "fitted_on": trial.images,
        "tested_on": len(data.labels("test")),
        "batch": trial.batch,
        "updates": trial.updates,
    }
