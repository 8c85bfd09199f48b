"""`copgen navigator`: import, inspect and show navigators and steering walks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.panels import INPUT, SETTINGS
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.generator import prior_text

DEFAULT_OUT = Path("runs/imported-navigator")

Source = Annotated[Path, typer.Argument(metavar="FILE", help="A navigator or walk of another program.")]
Place = Annotated[Path, typer.Argument(metavar="PATH", help="A navigator or walk: its file or run folder.")]
Out = Annotated[Path, o.out("FOLDER", "Output folder.")]
Picture = Annotated[Path | None, o.out("FILE", "Picture of pairs, PNG.")]
Sheet = Annotated[Path, o.out("FILE", "Picture, PNG.")]
Columns = Annotated[
    int | None, o.option("--n", "-n", help="Number of anchors (8).", value="COUNT", panel=SETTINGS, parser=o.count)
]
Belongs = Annotated[
    str | None, o.option("--generator", "-g", help="The generator it was trained on.", value="NAME", panel=INPUT)
]
Draws = Annotated[
    int | None, o.option(help="Samples of the prior (20k).", value="COUNT", panel=SETTINGS, parser=o.count)
]


@command(
    "copgen navigator import w_COPGen_pretained.pth",
    "copgen navigator import mine.pth --generator bigbigan --out runs/mine",
)
def import_navigator(
    file: Source, report: o.Report, generator: Belongs = None, out: Out = DEFAULT_OUT, overwrite: o.Replace = False
) -> None:
    """Convert a published navigator or walk to safetensors.

    Reads the authors' pickled navigators and GenRep's walks; nothing in the
    file is executed. The default generator is the one it was published for:
    BigBiGAN for navigators, BigGAN-deep-256 for walks.
    """
    from copgen.stages.navigator.import_file import import_navigator as stage

    found = stage(file, out=out, generator=generator, overwrite=overwrite)
    if generator is None and not found["published"]:
        report.story().say(f"{file} is not the published file. Assuming generator '{found['generator']}'.")
    kind = found["kind"]
    size = f", {found['hidden']} hidden units" if kind == "navigator" else ""
    rows = [
        (kind, found[kind]),
        ("latent", f"{found['latent_dim']} coordinates{size}, {found['form']}"),
        ("generator", found["generator"]),
        ("source", f"{file.name}, sha256 {found['source_sha256'][:16]}" + ", as published" * found["published"]),
    ]
    report.answer(found, rows, "copgen", "navigator", "inspect", str(out))


@command("copgen navigator inspect runs/navigate", "copgen navigator inspect runs/imported-navigator --out pairs.png")
def inspect(
    path: Place,
    report: o.Report,
    generator: Belongs = None,
    weights: o.Weights = None,
    draws: Draws = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Picture = None,
) -> None:
    """Measure how a navigator moves samples of the prior.

    The distance d(z, z'), and the shares of the movement that are constant,
    linear in z and nonlinear. The generator's weights are needed for --out
    and if the file does not record the prior.
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
    how = ["--navigator"] if found["kind"] == "navigator" else ["--transform", "steering", "--walk"]
    used = ["--generator", found["generator"]] if generator else []
    named = ["--weights", str(weights)] if weights else []
    report.answer(found, inspection(found), "copgen", "sample", *how, str(path), *used, *named)


@command(
    "copgen navigator show runs/navigate --out sheet.png",
    "copgen navigator show runs/steering --generator bigbigan --n 12",
)
def show(
    path: Place,
    report: o.Report,
    generator: Belongs = None,
    weights: o.Weights = None,
    n: Columns = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Sheet = Path("navigator.png"),
) -> None:
    """Render anchors, positives and other step lengths.

    The rows are the movement times 0.5, 1, 1.5 and 2; for a steering walk
    also each of its directions.
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
        ("generator", found["generator"]),
        ("d(z, z')", f"mean {lengths}"),
        ("picture", found["picture"]),
    ]
    report.answer(found, rows, "copgen", "navigator", "inspect", str(path))


def inspection(found: dict[str, Any]) -> list[Row]:
    """The properties of a navigator in rows."""
    d, kind = found["d_quantiles"], found["kind"]
    layers = f"{layers_of(found)}, " if kind == "navigator" else ""
    parts = ("constant", "linear", "nonlinear", *(["noise"] if found.get("noise_dim") else []))
    rows = [
        (kind, found[kind]),
        ("trained on", found["generator"] or "not recorded"),
        ("form", f"{found['form']}, {layers}{found['parameters']:,} weights"),
        ("prior", f"{prior_text(found['prior'])}, {found['draws']:,} samples"),
        ("z' - z", f"mean {found['mean']:.4f}, standard deviation {found['std']:.4f}"),
        ("d(z, z')", f"mean {found['d_mean']:.4f}; 1, 50 and 99 %: {d['0.01']:.4f}, {d['0.5']:.4f}, {d['0.99']:.4f}"),
        ("cosine z, z'", f"mean {found['cosine_mean']:.4f}, minimum {found['cosine_least']:.4f}"),
        ("movement", ", ".join(f"{100 * found[part]:.1f} % {part}" for part in parts)),
    ]
    return [*rows, ("picture", found["picture"])] if found["picture"] else rows


def layers_of(found: dict[str, Any]) -> str:
    """The sizes of a navigator's layers, and whether its sign is random."""
    size, noise = found["latent_dim"], found["noise_dim"]
    sign = ", random sign" if found["random_sign"] else ""
    return f"{size}{f' + {noise} noise' if noise else ''} - {found['hidden']} - {size}{sign}"
