"""`copgen pretrain`: learn an encoder from pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from copgen.runtime.errors import DataError
from copgen_cli import options as o
from copgen_cli.console import answer
from copgen_cli.dry_run import show_plan
from copgen_cli.resolving import config_table, length, recipe_of, refuse_both, said, whole_updates
from copgen_cli.story import Story

if TYPE_CHECKING:
    from copgen.stages.pretrain.settings import PretrainSettings

DEFAULT_OUT, DEFAULT_PAIRS = Path("runs/pretrain"), Path("pairs")
EPILOG = o.examples(
    "copgen pretrain --pairs pairs/",
    "copgen pretrain --pairs pairs/ --epochs 20 --batch 256 --out runs/short",
    "copgen pretrain --dataset digits --out runs/real",
)
Pairs = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="A pairs folder, from copgen sample.", rich_help_panel=o.WHAT)
]
RealImages = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Real images instead of pairs: digits.", rich_help_panel=o.WHAT),
]
Epochs = Annotated[
    float | None, typer.Option(parser=o.number, metavar="N", help="Passes over the pairs.", rich_help_panel=o.TRAINING)
]
Steps = Annotated[
    int | None,
    typer.Option(
        parser=o.count, metavar="COUNT", help="Training samples, instead of --epochs.", rich_help_panel=o.TRAINING
    ),
]
Updates = Annotated[
    int | None,
    typer.Option(
        parser=o.count, metavar="COUNT", help="Optimizer updates, instead of --epochs.", rich_help_panel=o.TRAINING
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        parser=o.one_of("optimizer", "sgd", "adam"),
        metavar="sgd|adam",
        help="SGD with momentum 0.9, or Adam.",
        rich_help_panel=o.TRAINING,
    ),
]
Rate = Annotated[
    float | None, typer.Option(parser=o.number, metavar="RATE", help="Peak learning rate.", rich_help_panel=o.TRAINING)
]
Decay = Annotated[
    float | None, typer.Option(parser=o.number, metavar="DECAY", help="Weight decay.", rich_help_panel=o.TRAINING)
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="The run folder.", rich_help_panel=o.OUTPUT)]


def pretrain(
    pairs: Pairs = None,
    dataset: RealImages = None,
    epochs: Epochs = None,
    steps: Steps = None,
    updates: Updates = None,
    batch: o.Batch = None,
    temperature: o.Temperature = None,
    optimizer: Optimizer = None,
    lr: Rate = None,
    weight_decay: Decay = None,
    views: o.Views = None,
    encoder: o.Encoder = None,
    recipe: o.Recipe = None,
    config: o.Config = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Out = DEFAULT_OUT,
    overwrite: o.Overwrite = False,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    debug: o.Debug = False,
    help: o.Help = False,
) -> None:
    """Learn an encoder from pairs by SimCLR, or from real images.

    The same command again goes on where it was stopped.
    """
    from copgen.encoders.encoder import FILE_NAME
    from copgen.runtime.settings import resolve
    from copgen.stages.pretrain import stage
    from copgen.stages.pretrain.settings import PretrainSettings

    refuse_both(pairs=pairs, dataset=dataset)
    refuse_both(epochs=epochs, steps=steps, updates=updates)
    flags: dict[str, Any] = {
        "pairs": pairs,
        "dataset": dataset,
        "epochs": epochs,
        "updates": updates,
        "batch": batch,
        "temperature": temperature,
        "optimizer": optimizer,
        "lr": lr,
        "weight_decay": weight_decay,
        "views": views,
        "encoder": encoder,
        "seed": seed,
        "device": device,
    }
    given = config_table(config, "pretrain")
    source = (dataset or said(given, "dataset")) if pairs is None else None
    folder = Path(pairs or said(given, "pairs") or DEFAULT_PAIRS)
    recipe = recipe or (recipe_of_dataset(source) if source else recipe_of_pairs(folder))
    settings = resolve(PretrainSettings, "pretrain", recipe=recipe, config=config, flags=flags)
    if steps is not None:
        settings = settings.model_copy(update={"updates": whole_updates(steps, settings.batch)})
    # A length or source that is given in one way must not lose to one that a file or the recipe gives in the other.
    if epochs is not None or ("epochs" in given and "updates" not in given and updates is None and steps is None):
        settings = settings.model_copy(update={"updates": None})
    settings = settings.model_copy(update={"pairs": None} if source else {"pairs": folder, "dataset": None})

    with Story(quiet=quiet, verbose=verbose) as story:
        number = count_pairs(settings)
        samples = stage.count_updates(settings, number) * settings.batch
        story.say(
            f"{length(samples, settings.batch)}, {samples / number:.3g} epochs over {number:,} "
            f"{'real images' if settings.dataset else f'pairs of {settings.pairs}/'}, into {out}."
        )
        story.explain(settings.to_toml())
        if dry_run:
            show_plan(settings, stage.estimate(settings), as_json=as_json)
            return
        artefact = out / FILE_NAME
        already = artefact.exists() and not overwrite
        summary = stage.pretrain(settings, out=out, overwrite=overwrite, events=story)
        if already:
            story.say(f"{out} is already finished; --overwrite starts anew.")
        rows = [
            ("encoder", str(artefact)),
            ("samples", f"{summary['samples']:,} in {summary['updates']:,} updates"),
            ("loss", f"{summary['loss']:.3f} nats, chance {summary['chance']:.3f}"),
        ]
        answer({"encoder": str(artefact), "already_finished": already, **summary}, rows, as_json=as_json)
        story.next("copgen", "eval", "linear", "--ckpt", str(out))


def recipe_of_pairs(pairs: Path) -> str | None:
    """The recipe of the generator whose pairs a folder holds; none for imported pairs, which name no generator.

    Raises:
        DataError: there is no such folder, or its plan fails verification.
    """
    from copgen.pairs import Plan, layout, read_plan
    from copgen.pairs.store import refuse_url

    refuse_url(pairs)
    if not (pairs / layout.PLAN).exists():
        raise DataError(
            f"There are no pairs in {pairs} ({layout.PLAN} is missing).",
            fix=f"Make some with copgen sample --out {pairs}, or name them with --pairs.",
        )
    plan = read_plan(pairs)
    return recipe_of(plan.generator.name) if isinstance(plan, Plan) else None


def recipe_of_dataset(name: str) -> str | None:
    """The recipe of the same name, if there is one; an unknown dataset is the stage's to refuse."""
    from copgen.runtime.settings import recipe_names

    return name if name in recipe_names() else None


def count_pairs(settings: PretrainSettings) -> int:
    """How many pairs, or real images, an epoch has."""
    from copgen.pairs import read_plan
    from copgen.stages.pretrain.stage import open_data

    # The plan says it at once; opening the folder reads and verifies all of it, which the stage does anyway.
    return read_plan(settings.pairs).pairs if settings.pairs is not None else len(open_data(settings))
