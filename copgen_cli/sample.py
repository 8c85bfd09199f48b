"""`copgen sample`: write anchor/positive image pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.row_numbers import parse_rows
from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.console import answer
from copgen_cli.dry_run import show_sampling
from copgen_cli.resolving import config_table, recipe_of, refuse_both
from copgen_cli.story import Story
from copgen_cli.trained_on import of_the_navigator

DEFAULT_OUT = "pairs"
FORMATS = ("png", "jpg", "webp")
GAUSSIANS = ("gaussian", "gaussian-truncated")
TRANSFORMS = ("none", "gaussian", "gaussian-truncated", "random", "steering", "optimal")
EPILOG = o.examples(
    "copgen sample --out pairs/ --n 10k",
    "copgen sample --out pairs/ --n 1.3M --navigator runs/within-delta",
    "copgen sample --out pairs-gaussian/ --tz gaussian --std 0.1 --positives 4",
    "copgen sample --out pairs-steered/ --tz steering --walk runs/steering",
    "copgen sample --out pairs-jpg/ --n 1.3M --format jpg --quality 92",
    "copgen sample --out pairs-near/ --max-d 0.25",
    "copgen sample --min-similarity 0.5 --filter-encoder runs/pretrain",
    "copgen sample --out pairs/ --n 1.3M --workers 4",
    "copgen sample --out s3://bucket/pairs --n 1.3M --shard-slice 0/8",
    "copgen sample --out pairs/ --only 17",
)
PAIRS = "Pairs"
Count = Annotated[
    int | None,
    typer.Option("--n", "-n", parser=o.count, metavar="COUNT", help="Pairs, such as 10k.", rich_help_panel=PAIRS),
]
Transform = Annotated[
    str | None,
    typer.Option(
        "--tz",
        parser=o.one_of("transform", *TRANSFORMS),
        metavar="NAME",
        help="none, gaussian, gaussian-truncated, random, steering, optimal.",
        rich_help_panel=o.WHAT,
    ),
]
NavigatorPath = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Its run folder or file, for optimal.", rich_help_panel=o.WHAT),
]
Std = Annotated[
    float | None,
    typer.Option(parser=o.number, metavar="STD", help="Of the step, for the gaussians.", rich_help_panel=o.WHAT),
]
WalkPath = Annotated[
    Path | None,
    typer.Option("--walk", metavar="FOLDER", help="Its run folder or file, for steering.", rich_help_panel=o.WHAT),
]
Positives = Annotated[
    int | None,
    typer.Option(
        parser=o.count, metavar="COUNT", help="Positives per anchor; navigators add snapshots.", rich_help_panel=PAIRS
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(parser=o.count, metavar="COUNT", help="Pairs through the generator at once.", rich_help_panel=PAIRS),
]
PerShard = Annotated[
    int | None, typer.Option(parser=o.count, metavar="COUNT", help="Pairs in each tar file.", rich_help_panel=PAIRS)
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        parser=o.one_of("image format", *FORMATS),
        metavar="NAME",
        help="Of the images: png, jpg (4:4:4) or webp.",
        rich_help_panel=PAIRS,
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(parser=o.whole, metavar="Q", help="Of jpg (95) and webp (90), from 1 to 100.", rich_help_panel=PAIRS),
]
Encoders = Annotated[
    int | None,
    typer.Option(parser=o.whole, metavar="COUNT", help="Threads that encode images; 0: none.", rich_help_panel=o.SPEED),
]
FILTER = "Quality filter: draws outside are drawn again"
MinD = Annotated[
    float | None, typer.Option(parser=o.number, metavar="D", help="Least d(z, z').", rich_help_panel=FILTER)
]
MaxD = Annotated[
    float | None, typer.Option(parser=o.number, metavar="D", help="Greatest d(z, z').", rich_help_panel=FILTER)
]
MinSimilarity = Annotated[
    float | None,
    typer.Option(parser=o.number, metavar="COS", help="Least cosine of the pair.", rich_help_panel=FILTER),
]
MaxSimilarity = Annotated[
    float | None,
    typer.Option(parser=o.number, metavar="COS", help="Greatest cosine of the pair.", rich_help_panel=FILTER),
]
FilterEncoder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Run or file of the cosine's encoder.", rich_help_panel=FILTER),
]
Attempts = Annotated[
    int | None,
    typer.Option(
        parser=o.count, metavar="COUNT", help="Draws of a pair before giving up (100).", rich_help_panel=FILTER
    ),
]
Compile = Annotated[str | None, o.compilation("torch.compile of G: off, default. For GPUs.", "default")]
WORKERS = "Workers"
Workers = Annotated[
    int | None,
    typer.Option(
        parser=o.count, metavar="N", help="Processes here: one a GPU, or sharing the CPUs.", rich_help_panel=WORKERS
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        parser=o.count, metavar="N", help="CPU threads of each (1), part of the plan.", rich_help_panel=WORKERS
    ),
]
Slice = Annotated[
    str | None,
    typer.Option(
        "--shard-slice",
        metavar="I/N",
        help="This worker of N, from 0. Read from torchrun, SLURM, Kubernetes and SkyPilot.",
        rich_help_panel=WORKERS,
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        metavar="SHARDS", help="Make only these anew, of the plan that is there: 17 or 3,7-9.", rich_help_panel=WORKERS
    ),
]
Out = Annotated[
    str,
    typer.Option(
        "--out", "-o", metavar="FOLDER", help="The pairs folder, or s3://... or gs://...", rich_help_panel=o.OUTPUT
    ),
]


def sample(
    generator: o.Generator = None,
    weights: o.Weights = None,
    instances: o.Instances = None,
    truncation: o.Truncation = None,
    inverse: o.Inverse = None,
    precision: o.Precision = None,
    tz: Transform = None,
    navigator: NavigatorPath = None,
    std: Std = None,
    walk: WalkPath = None,
    conditions: o.Conditions = None,
    condition_list: o.ConditionList = None,
    n: Count = None,
    positives: Positives = None,
    batch: Batch = None,
    pairs_per_shard: PerShard = None,
    format: Format = None,
    quality: Quality = None,
    min_d: MinD = None,
    max_d: MaxD = None,
    min_similarity: MinSimilarity = None,
    max_similarity: MaxSimilarity = None,
    filter_encoder: FilterEncoder = None,
    attempts: Attempts = None,
    compile: Compile = None,
    encoders: Encoders = None,
    workers: Workers = None,
    threads: Threads = None,
    shard_slice: Slice = None,
    only: Only = None,
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
    """Write pairs of images, an anchor and its positive.

    Without --generator it takes the one that the navigator was trained on.
    The same command again goes on where it was stopped.
    """
    from copgen.distributed.slices import parse_slice
    from copgen.pairs import layout
    from copgen.pairs.store import open_store
    from copgen.runtime.settings import resolve
    from copgen.stages.sample.settings import SampleSettings

    refuse_both(only=only, recipe=recipe)
    refuse_both(only=only, shard_slice=shard_slice)
    if generator is not None:
        recipe_of(generator)  # a mistake in it is told before what it would lead to
    part = parse_slice(shard_slice) if shard_slice is not None else None
    shards = parse_rows(only, what="shard") if only is not None else ()
    store = open_store(out)
    options = {
        "generator": generator,
        "weights": weights,
        "instances": instances,
        "truncation_scale": truncation,
        "inverse": inverse,
        "precision": precision,
        "conditions": conditions,
        "condition_list": parse_rows(condition_list) if condition_list is not None else None,
        "transform": tz,
        "navigator": navigator,
        "std": std,
        "walk": walk,
        "n": n,
        "positives": positives,
        "batch": batch,
        "pairs_per_shard": pairs_per_shard,
        "image_format": format,
        "quality": quality,
        "min_d": min_d,
        "max_d": max_d,
        "min_similarity": min_similarity,
        "max_similarity": max_similarity,
        "filter_encoder": filter_encoder,
        "attempts": attempts,
        "compile": compile,
        "encoders": encoders,
        "seed": seed,
        "device": device,
        "threads": threads,
    }
    flags = {name: value for name, value in options.items() if value is not None}
    given = {**config_table(config, "sample"), **flags}
    if shards:  # whatever file or flags say otherwise is refused later, but for the place of a file
        from copgen.stages.sample.plan_settings import settings_of_folder  # imports torch

        recipe, known = None, settings_of_folder(store, named=given)
    else:
        recipe, known = of_the_navigator(recipe, given)
    settings = resolve(SampleSettings, "sample", recipe=recipe, config=config, flags=flags, known=known)

    with Story(quiet=quiet, verbose=verbose) as story:
        how = {
            "none": "z' = z",
            "gaussian": f"z' = z + {settings.std:g} e",
            "gaussian-truncated": f"z' = z + {settings.std:g} e, |e| <= 2",
            "random": "z' drawn anew",
            "steering": f"the walk {settings.walk}",
            "optimal": f"T_z of {settings.navigator}",
        }
        what = f"Shard{'s' if len(shards) > 1 else ''} {only} anew, of {settings.n:,}" if shards else f"{settings.n:,}"
        story.say(f"{what} pairs of {settings.generator} with {how[settings.transform]}, into {store.where()}.")
        for warning in idle(settings.transform, flags):
            story.warn(warning)
        story.explain(settings.to_toml())
        if dry_run:
            there = None if overwrite else store
            show_sampling(settings, store=there, only=shards, workers=workers or 1, as_json=as_json)
            return
        from copgen.stages.sample import stage

        already = store.size(layout.MANIFEST) is not None and not overwrite and not shards
        summary = stage.sample(
            settings, out=out, overwrite=overwrite, workers=workers or 1, part=part, only=shards, events=story
        )
        if already:
            story.say(f"{out} is already finished; --overwrite starts anew.")
        written = f"{summary['shards']:,} {'shard' if summary['shards'] == 1 else 'shards'}, {size(summary['bytes'])}"
        card = store.where(layout.CARD)
        rows = [("pairs", f"{summary['pairs']:,} in {store.where()}/"), ("shards", written), ("card", card)]
        if "changed" in summary:
            rows.append(("changed", f"shard {', '.join(map(str, summary['changed']))}: not what the record said"))
        if "rejected" in summary:
            rows.insert(1, ("rejected", f"{summary['rejected']:,} draws, drawn again"))
        answer({"out": store.where(), "already_finished": already, **summary}, rows, as_json=as_json)
        story.next(*next_command(store.where()))


def idle(transform: str, flags: dict[str, Any]) -> list[str]:
    """What to say of options that do nothing to pairs of this transform."""
    concern = {"std": GAUSSIANS, "navigator": ("optimal",), "walk": ("steering",)}
    return [
        f"--{name} does nothing with --tz {transform}."
        for name, transforms in concern.items()
        if name in flags and transform not in transforms
    ]


def next_command(out: str) -> tuple[str, ...]:
    """What to type after the pairs are there; pretraining reads them from a local folder."""
    from copgen.pairs.store import copy_command

    return copy_command(out, DEFAULT_OUT) if "://" in out else ("copgen", "pretrain", "--pairs", f"{out}/")
