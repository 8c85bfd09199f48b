"""`copgen generator list` and `inspect`: the generators that copgen knows, and one of them closely."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.panels import WHAT
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row, answer
from copgen_cli.generator_weights import Instances, Name, WeightsDir
from copgen_cli.story import Story

Truncation = Annotated[
    float | None,
    typer.Option(
        "--truncation-scale",
        "--truncation",
        parser=o.number,
        metavar="T",
        help="z = T * normal within +-2 (GANs).",
        rich_help_panel=WHAT,
    ),
]
Picture = Annotated[Path | None, o.file("A picture of samples, PNG.")]


@command("copgen generator list", "copgen generator list --json")
def list_generators(report: o.Report, weights_dir: WeightsDir = None) -> None:
    """List the generators that copgen knows, and whose weights are here."""
    from copgen.stages.generator.list import list_generators as stage

    found = stage(directory=weights_dir)
    rows = [(one["name"], f"{one['about']}{presence(one)}") for one in found["generators"]]
    answer(found, [*rows, ("weights in", found["weights_directory"])], as_json=report.as_json)
    here = next(one["name"] for one in found["generators"] if one["weights"])
    Story(quiet=report.quiet).next("copgen", "generator", "inspect", here)


def presence(one: dict[str, Any]) -> str:
    """Whether the weights of a generator are here, in a few words."""
    if one["embedded"] or one["plugin"]:
        return ""  # its description says so
    return f"; here: {Path(one['weights']).name}" if one["weights"] else "; not here"


@command("copgen generator inspect digits", "copgen generator inspect digits --out samples.png")
def inspect(
    name: Name,
    report: o.Report,
    weights: o.Weights = None,
    instances: Instances = None,
    truncation_scale: Truncation = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Picture = None,
) -> None:
    """Say what a generator is, how good, and how fast on this machine."""
    from copgen.stages.generator.inspect import inspect as stage

    found = stage(
        name,
        weights=weights,
        instances=instances,
        truncation=truncation_scale,
        out=out,
        device=device or "auto",
        seed=seed or 0,
    )
    answer(found, inspection(found), as_json=report.as_json)
    Story(quiet=report.quiet).next(
        "copgen", "navigate", "--generator", name, *(["--weights", str(weights)] if weights is not None else [])
    )


def inspection(found: dict[str, Any]) -> list[Row]:
    """The figures of a generator, one a line."""
    channels, height, width = found["image_shape"]
    prior = found["prior"]
    bound = f", truncated at {prior['threshold']:g}" if prior["kind"] == "truncated_normal" else ""
    rows = [
        ("generator", found["name"]),
        ("parameters", f"{found['parameters']:,}"),
        ("latent", f"{found['latent_dim']:,} coordinates, normal times {prior['scale']:g}{bound}"),
        ("condition", found["condition"] or "none"),
        ("images", f"{height}x{width}, {channels} {'channel' if channels == 1 else 'channels'}"),
        ("speed", f"{1000 * found['seconds_per_image']:.3g} ms per image, batch {found['batch']}, {found['device']}"),
        ("weights", f"sha256 {found['weights_sha256'][:16]}"),
        *made_by_rows(found["made_by"]),
    ]
    return [*rows, ("picture", found["picture"])] if found["picture"] else rows


def made_by_rows(made_by: dict[str, Any]) -> list[Row]:
    """The quality figures that a fitted generator's file records, where it does."""
    rows = []
    if bits := made_by.get("bits_per_dim"):
        rows.append(("bits/dim", ", ".join(f"{value:.3f} {split}" for split, value in bits.items())))
    for name, value in made_by.get("quality", {}).items():
        rows.append((name.replace("_", " "), f"{value:.3g}"))
    return rows
