"""`copgen navigator inspect`: how a navigator or walk moves samples of the prior that it was trained on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from copgen import generators
from copgen.generators.settings import GeneratorChoice
from copgen.latents.anatomy import anatomy
from copgen.latents.navigator import Navigator
from copgen.latents.prior import Prior
from copgen.latents.walks import Walk
from copgen.report.grid import grid_picture, save_picture
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.machine import resolve_device
from copgen.runtime.path_errors import path_errors
from copgen.runtime.settings import build
from copgen.stages.navigator.movement import Movement, load_movement

DRAWS = 20_000
PAIRS = 16


@torch.no_grad()
@path_errors()
def inspect(
    path: Path,
    *,
    generator: str | None = None,
    weights: Path | None = None,
    out: Path | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Statistics of a navigator, or of a walk with random edits, over `draws` latents.

    Args:
        path: its file or run folder.
        generator: the generator whose prior is sampled; None: the prior recorded in the file, else that of the
            generator it was trained on.
        weights: of that generator.
        out: a PNG of sixteen anchors above their positives, which needs the generator's weights; None: no picture.
        draws: the number N of latents.
        seed: of the latents.
        device: where the images are generated.

    Raises:
        DataError: the file is not a navigator or walk.
        UsageError: it and the generator have different latent sizes, or the prior is unknown.
    """
    movement = load_movement(path)
    held, made_by = movement.held, movement.made_by
    name = generator or made_by.get("generator")
    recorded = None if generator else recorded_prior(made_by, movement.file)
    G = None
    if recorded is None or out is not None:
        G = load_generator(made_by, name, weights, held.latent_dim, path, device)
    prior = recorded or (G.prior if G is not None else Prior())
    z = prior.draw(range(draws), dim=held.latent_dim, seed=seed).double()
    held.double()
    T, other = displaced(held, z, seed)
    figures = asdict(anatomy(z, T, other))
    figures["d_quantiles"] = {f"{share:g}": value for share, value in figures["d_quantiles"].items()}
    if out is not None and G is not None:
        held.float()
        save_pairs(out, G, movement, seed)
    return {
        "kind": movement.kind,
        movement.kind: str(movement.file),
        "latent_dim": held.latent_dim,
        **(shape_of(held) if isinstance(held, Navigator) else {}),
        "form": held.form,
        "parameters": sum(parameter.numel() for parameter in held.parameters()),
        "generator": name,
        "prior": prior.model_dump(mode="json"),
        **figures,
        "made_by": made_by,
        "picture": str(out) if out is not None else None,
    }


def displaced(held: Navigator | Walk, z: Tensor, seed: int) -> tuple[Tensor, Tensor | None]:
    """z' - z of latents z (N, d), without a random sign; of a navigator with noise, also that of another positive."""
    rows = range(len(z))
    if isinstance(held, Walk):
        return held(z, seed=seed, rows=rows) - z, None
    T = held.displace(z, seed=seed, rows=rows)
    return T, held.displace(z, seed=seed, rows=rows, which=1) if held.noise_dim else None


def shape_of(T_z: Navigator) -> dict[str, Any]:
    """The architecture of a navigator."""
    return {
        "hidden": T_z.hidden,
        "spans": T_z.spans,
        "noise_dim": T_z.noise_dim,
        "random_sign": T_z.random_sign,
    }


def recorded_prior(made_by: dict[str, Any], file: Path) -> Prior | None:
    """The prior in the header of an imported navigator."""
    if "prior" not in made_by:
        return None
    try:
        return Prior.model_validate(made_by["prior"])
    except ValidationError as error:
        raise DataError(f"{file}: the header has an invalid prior: {error.errors()[0]['msg']}.") from None


def load_generator(
    made_by: dict[str, Any], name: object, weights: Path | None, latent_dim: int, path: Path, device: str
) -> generators.Generator:
    """The generator of a navigator or walk, with the options of its training run if it is the same generator."""
    if not isinstance(name, str):
        raise UsageError(
            f"{path} does not record the generator it was trained on.", fix="Pass its name with --generator."
        )
    settings = made_by.get("settings")
    recorded: dict[str, Any] = {}
    if isinstance(settings, dict) and made_by.get("generator") == name:
        recorded = {field: settings[field] for field in GeneratorChoice.model_fields if field in settings}
    if weights is not None:
        recorded["weights"] = weights
    choice = build(GeneratorChoice, {**recorded, "generator": name}, origin=str(path))
    G = choice.load_generator(resolve_device(device))
    if G.latent_dim != latent_dim:
        raise UsageError(
            f"The navigator {path} has {latent_dim} latent coordinates; '{name}' has {G.latent_dim}.",
            fix="Pass the generator it was trained on with --generator.",
        )
    return G


def save_pairs(out: Path, G: generators.Generator, movement: Movement, seed: int) -> None:
    """A picture of sixteen anchors above their positives."""
    z = G.sample_prior(range(PAIRS), seed)
    condition = G.sample_condition(range(PAIRS), seed)
    movement.held.to(z.device)
    z_pos = movement.transform(seed)(z, condition, range(PAIRS))
    save_picture(out, grid_picture([G(z, condition), G(z_pos, condition)]))
