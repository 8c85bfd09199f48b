"""`copgen navigator`: bring in navigators and walks of other programs, and say and show what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.panels import SETTINGS, WHAT
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row, answer
from copgen_cli.story import Story

DEFAULT_OUT = Path("runs/imported-navigator")

Source = Annotated[Path, typer.Argument(metavar="FILE", help="A navigator that another program saved.")]
Place = Annotated[Path, typer.Argument(metavar="PATH", help="Its file, or its run folder.")]
Out = Annotated[Path, o.folder("Where it is put.")]
Picture = Annotated[
    Path | None,
    o.file("A picture of pairs, PNG."),
]
Sheet = Annotated[Path, o.file("The picture, PNG.")]
Columns = Annotated[
    int | None,
    typer.Option("--n", "-n", parser=o.count, metavar="COUNT", help="Anchors (8).", rich_help_panel=SETTINGS),
]
Belongs = Annotated[
    str | None,
    typer.Option("--generator", "-g", metavar="NAME", help="The generator it was trained on.", rich_help_panel=WHAT),
]
Draws = Annotated[
    int | None,
    typer.Option(parser=o.count, metavar="COUNT", help="Draws of the prior (20k).", rich_help_panel=SETTINGS),
]


@command(
    "copgen navigator import w_COPGen_pretained.pth",
    "copgen navigator import mine.pth --generator bigbigan --out runs/mine",
)
def import_navigator(
    file: Source,
    generator: Belongs = None,
    out: Out = DEFAULT_OUT,
    overwrite: o.Replace = False,
    *,
    report: o.Report,
) -> None:
    """Turn the authors' pickled navigator, or a walk of GenRep's, into copgen's.

    Its tensors are rebuilt; nothing in the file is executed. Without
    --generator it is taken to be for the one it was published for: BigBiGAN
    for navigators, BigGAN-deep-256 for walks (then copgen sample --transform steering).
    """
    from copgen.stages.navigator.import_file import import_navigator as stage

    found = stage(file, out=out, generator=generator, overwrite=overwrite)
    story = Story(quiet=report.quiet)
    if generator is None and not found["published"]:
        story.say(f"This is not the file that the authors published; taken to be for '{found['generator']}'.")
    kind = found["kind"]
    size = f", {found['hidden']} hidden units" if kind == "navigator" else ""
    rows = [
        (kind, found[kind]),
        ("latent", f"{found['latent_dim']} coordinates{size}, {found['form']}"),
        ("generator", found["generator"]),
        ("source", f"{file.name}, sha256 {found['source_sha256'][:16]}" + ", as published" * found["published"]),
    ]
    answer(found, rows, as_json=report.as_json)
    story.next("copgen", "navigator", "inspect", str(out))


@command("copgen navigator inspect runs/navigate", "copgen navigator inspect runs/imported-navigator --out pairs.png")
def inspect(
    path: Place,
    generator: Belongs = None,
    weights: o.Weights = None,
    draws: Draws = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Picture = None,
    *,
    report: o.Report,
) -> None:
    """Say what a navigator does to draws of the prior.

    How far it moves them, and how much of the movement is one shift for all,
    linear in z, or neither. The generator's weights are needed for --out,
    and where the file does not record the prior.
    """
    from copgen.stages.navigator import inspect as stage

    found = stage.inspect(
        path,
        generator=generator,
        weights=weights,
        out=out,
        draws=draws or stage.DRAWS,
        seed=seed or 0,
        device=device or "auto",
    )
    answer(found, inspection(found), as_json=report.as_json)
    how = (
        ["--navigator", str(path)] if found["kind"] == "navigator" else ["--transform", "steering", "--walk", str(path)]
    )
    used = ["--generator", found["generator"]] if generator else []
    Story(quiet=report.quiet).next("copgen", "sample", *how, *used, *(["--weights", str(weights)] if weights else []))


@command(
    "copgen navigator show runs/navigate --out sheet.png",
    "copgen navigator show runs/steering --generator bigbigan --n 12",
)
def show(
    path: Place,
    generator: Belongs = None,
    weights: o.Weights = None,
    n: Columns = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Sheet = Path("navigator.png"),
    *,
    report: o.Report,
) -> None:
    """Draw a sheet: anchors, positives, and the movement at other lengths.

    The same movement at 0.5, 1, 1.5 and 2 times its length; of a steering walk
    each direction besides.
    """
    from copgen.stages.navigator import show as stage

    found = stage.show(
        path,
        out=out,
        generator=generator,
        weights=weights,
        images=n or stage.IMAGES,
        seed=seed or 0,
        device=device or "auto",
    )
    lengths = ", ".join(f"{value:.4f} at {length} x" for length, value in found["d_mean"].items())
    rows = [
        (found["kind"], found[found["kind"]]),
        ("drawn with", found["generator"]),
        ("d(z, z')", f"mean {lengths}"),
        ("picture", found["picture"]),
    ]
    answer(found, rows, as_json=report.as_json)
    Story(quiet=report.quiet).next("copgen", "navigator", "inspect", str(path))


def inspection(found: dict[str, Any]) -> list[Row]:
    """The figures of a navigator, one a line."""
    prior = found["prior"]
    bound = f", truncated at {prior['threshold']:g}" if prior["kind"] == "truncated_normal" else ""
    d, size = found["d_quantiles"], found["latent_dim"]
    parts = ", ".join(f"{100 * found[part]:.1f} % {part}" for part in ("constant", "linear", "nonlinear"))
    kind = found["kind"]
    layers = f"{size} - {found['hidden']} - {size}, " if kind == "navigator" else ""
    rows = [
        (kind, found[kind]),
        ("trained on", found["generator"] or "not recorded"),
        ("form", f"{found['form']}, {layers}{found['parameters']:,} weights"),
        ("drawn from", f"normal times {prior['scale']:g}{bound}, {found['draws']:,} draws"),
        ("z' - z", f"mean {found['mean']:.4f}, standard deviation {found['std']:.4f}"),
        ("d(z, z')", f"mean {found['d_mean']:.4f}; 1, 50 and 99 %: {d['0.01']:.4f}, {d['0.5']:.4f}, {d['0.99']:.4f}"),
        ("cosine z, z'", f"mean {found['cosine_mean']:.4f}, least {found['cosine_least']:.4f}"),
        ("movement", parts),
    ]
    return [*rows, ("picture", found["picture"])] if found["picture"] else rows
