"""`copgen generator list` and `inspect`: the known generators, and one of them in detail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from copgen.runtime.panels import INPUT
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.generator_weights import Instances, Name, WeightsDir
from copgen_cli.wording import number_of

TRUNCATION = "--truncation-scale", "--truncation"
Truncation = Annotated[
    float | None,
    o.option(*TRUNCATION, help="Scale of the truncated normal (GANs).", value="T", panel=INPUT, parser=o.number),
]
Picture = Annotated[Path | None, o.out("FILE", "Picture of samples, PNG.")]


@command("copgen generator list", "copgen generator list --json")
def list_generators(report: o.Report, weights_dir: WeightsDir = None) -> None:
    """List the known generators and which weights are available."""
    from copgen.stages.generator.list import list_generators as stage

    found = stage(directory=weights_dir)
    rows = [(one["name"], f"{one['about']}{presence(one)}") for one in found["generators"]]
    first = next(one["name"] for one in found["generators"] if one["weights"])
    weights = ("weights in", found["weights_directory"])
    report.answer(found, [*rows, weights], "copgen", "generator", "inspect", first)


def presence(one: dict[str, Any]) -> str:
    """Whether the weights of a generator are available."""
    if one["embedded"] or one["plugin"]:
        return ""  # its description says so
    return f"; weights: {Path(one['weights']).name}" if one["weights"] else "; no weights"


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
    """Report a generator's architecture, quality and speed."""
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
    named = ["--weights", str(weights)] if weights is not None else []
    report.answer(found, inspection(found), "copgen", "navigate", "--generator", name, *named)


def inspection(found: dict[str, Any]) -> list[Row]:
    """The properties of a generator in rows."""
    channels, height, width = found["image_shape"]
    rows = [
        ("generator", found["name"]),
        ("parameters", f"{found['parameters']:,}"),
        ("latent", f"{found['latent_dim']:,} coordinates, {prior_text(found['prior'])}"),
        ("condition", found["condition"] or "none"),
        ("images", f"{height}x{width}, {number_of(channels, 'channel')}"),
        ("speed", f"{1000 * found['seconds_per_image']:.3g} ms per image, batch {found['batch']}, {found['device']}"),
        ("weights", f"sha256 {found['weights_sha256'][:16]}"),
        *made_by_rows(found["made_by"]),
    ]
    return [*rows, ("picture", found["picture"])] if found["picture"] else rows


def prior_text(prior: dict[str, Any]) -> str:
    """The distribution of z in a few words."""
    bound = f", truncated at {prior['threshold']:g}" if prior["kind"] == "truncated_normal" else ""
    return f"normal times {prior['scale']:g}{bound}"


def made_by_rows(made_by: dict[str, Any]) -> list[Row]:
    """The quality that the file of a fitted generator records."""
    rows = []
    if bits := _numbers(made_by, "bits_per_dim"):
        rows.append(("bits/dim", ", ".join(f"{value:.3f} {split}" for split, value in bits.items())))
    for name, value in _numbers(made_by, "quality").items():
        rows.append((name.replace("_", " "), f"{value:.3g}"))
    if shares := _numbers(made_by, "class_shares"):
        ranked = sorted(shares.items(), key=lambda share: share[1])
        shown = list(shares.items()) if len(shares) <= 10 else [ranked[0], ranked[-1]]
        rows.append(("class shares", ", ".join(f"{name} {100 * share:.1f} %" for name, share in shown)))
    return rows


def _numbers(made_by: dict[str, Any], name: str) -> dict[str, float]:
    """The numbers of a table of `made_by`; what is none is left out, as the header of a file may hold anything."""
    table = made_by.get(name)
    if not isinstance(table, dict):
        return {}
    return {key: value for key, value in table.items() if isinstance(value, int | float)}
