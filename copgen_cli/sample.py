"""`copgen sample`: write anchor/positive image pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from copgen.distributed.slices import parse_slice
from copgen.runtime.panels import WORKERS
from copgen.runtime.row_numbers import parse_rows
from copgen.runtime.settings import layered, resolve
from copgen.runtime.sizes import size
from copgen.stages.sample.settings import SampleSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.dry_run import show_sampling
from copgen_cli.next_step import pretrain_on
from copgen_cli.resolving import recipe_of, refuse_both
from copgen_cli.running import FINISHED
from copgen_cli.trained_on import of_the_navigator
from copgen_cli.wording import number_of

DEFAULT_OUT = "pairs"
# Flags that apply to some transforms only.
CONCERN = {
    "std": ("gaussian", "gaussian-truncated"),
    "navigator": ("optimal",),
    "walk": ("steering",),
    "features": ("nearest",),
    "pool": ("nearest",),
}
Workers = Annotated[
    int | None,
    o.option(help="Processes: one per GPU, or sharing the CPUs.", value="N", panel=WORKERS, parser=o.count),
]
Slice = Annotated[
    str | None,
    o.option("--shard-slice", help="Worker I of N, from 0 (from the job scheduler).", value="I/N", panel=WORKERS),
]
Only = Annotated[str | None, o.option(help="Recompute only these shards: 17 or 3,7-9.", value="SHARDS", panel=WORKERS)]
Out = Annotated[str, o.out("FOLDER", "Pairs folder, or s3:// or gs:// URL.")]


@command(
    "copgen sample --out pairs/ --n 10k",
    "copgen sample --out pairs/ --n 1.3M --navigator runs/within-delta",
    "copgen sample --out pairs-gaussian/ --transform gaussian --std 0.1",
    "copgen sample --out pairs-steered/ --transform steering",
    "copgen sample --out pairs-knn/ --transform nearest --features runs/pretrain",
    "copgen sample --out pairs-jpg/ --n 1.3M --image-format jpg --quality 92",
    "copgen sample --out pairs-near/ --max-d 0.25",
    "copgen sample --min-similarity 0.5 --filter-encoder runs/pretrain",
    "copgen sample --out pairs/ --n 1.3M --workers 4",
    "copgen sample --out s3://bucket/pairs --n 1.3M --shard-slice 0/8",
    "copgen sample --out pairs/ --only 17",
    settings=(SampleSettings,),
)
def sample(
    flags: dict[str, Any],
    run: o.FolderRun,
    workers: Workers = None,
    shard_slice: Slice = None,
    only: Only = None,
    out: Out = DEFAULT_OUT,
) -> None:
    """Write pairs of images, an anchor and a positive each.

    The default generator is the one that the navigator was trained on. The
    slice of a worker is read from torchrun, SLURM, Kubernetes or SkyPilot.
    Run the same command to resume.
    """
    from copgen.pairs import layout
    from copgen.pairs.store import open_store

    refuse_both(only=only, recipe=run.recipe)
    refuse_both(only=only, shard_slice=shard_slice)
    if (generator := flags.get("generator")) is not None:
        recipe_of(generator)  # an unknown name is reported before its consequences
    part = parse_slice(shard_slice) if shard_slice is not None else None
    shards = parse_rows(only, what="shard") if only is not None else ()
    store = open_store(out)
    given = layered(SampleSettings, "sample", config=run.config, flags=flags)
    if shards:  # other values of file or flags are refused later, except paths
        from copgen.stages.sample.plan_settings import settings_of_folder  # imports torch

        recipe, known = None, settings_of_folder(store, named=given)
    else:
        recipe, known = of_the_navigator(run.recipe, given)
    story = run.story()
    settings = resolve(
        SampleSettings, "sample", recipe=recipe, config=run.config, flags=flags, known=known, tell=story.warn
    )

    with story:
        how = {
            "none": "z' = z",
            "gaussian": f"z' = z + {settings.std:g} e",
            "gaussian-truncated": f"z' = z + {settings.std:g} e, |e| <= 2",
            "random": "z' from the prior",
            "steering": f"the walk {settings.walk}",
            "nearest": f"the nearest of {settings.pool:,} images under {settings.features}",
            "optimal": f"T_z of {settings.navigator}",
        }
        part_of = f"Recomputing {'shards' if len(shards) > 1 else 'shard'} {only} of " if shards else ""
        what = f"{part_of}{settings.n:,} pairs of {settings.generator}"
        story.say(f"{what} with {how[settings.transform]}, into {store.where()}.")
        for warning in idle(settings.transform, flags):
            story.warn(warning)
        story.explain(settings.to_toml())
        if run.dry_run:
            there = None if run.overwrite else store
            show_sampling(settings, store=there, only=shards, workers=workers or 1, as_json=run.as_json)
            return
        from copgen.stages.sample import stage

        already = store.size(layout.MANIFEST) is not None and not run.overwrite and not shards
        summary = stage.sample(
            settings, out=out, overwrite=run.overwrite, workers=workers or 1, part=part, only=shards, events=story
        )
        if already:
            story.say(FINISHED.format(out))
    written = f"{number_of(summary['shards'], 'shard')}, {size(summary['bytes'])}"
    rows = [("pairs", f"{summary['pairs']:,} in {store.where()}/"), ("shards", written)]
    rows.append(("card", store.where(layout.CARD)))
    if "changed" in summary:
        rows.append(("changed", f"shard {', '.join(map(str, summary['changed']))}: differs from its record"))
    if "rejected" in summary:
        rows.insert(1, ("rejected", f"{summary['rejected']:,} draws, resampled"))
    document = {"out": store.where(), "already_finished": already, **summary}
    run.answer(document, rows, *next_command(store.where()))


def idle(transform: str, flags: dict[str, Any]) -> list[str]:
    """Warnings about flags that have no effect with this transform."""
    return [
        f"--{name} has no effect with --transform {transform}."
        for name, transforms in CONCERN.items()
        if name in flags and transform not in transforms
    ]


def next_command(out: str) -> tuple[str, ...]:
    """The next command; pretrain needs the pairs in a local folder."""
    from copgen.runtime.urls import copy_command

    return copy_command(out, DEFAULT_OUT) if "://" in out else ("copgen", *pretrain_on(Path(out)))
