"""`copgen navigator import`: a navigator of the authors' program as `navigator.safetensors`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen import generators
from copgen.latents.foreign_navigator import read_foreign_navigator
from copgen.latents.navigator import FILE_NAME, save_navigator
from copgen.latents.prior import Prior
from copgen.runtime.errors import UsageError
from copgen.runtime.files import disk_faults, sha256_of

AUTHORS_SHA256 = "a1ff15c3ce61b6e418b7d0300d9b264681a8da49d4caf5c277475a634b24bf94"
AUTHORS_GENERATOR = "bigbigan"
AUTHORS_PRIOR = Prior(kind="truncated_normal", threshold=2.0)
_AUTHORS_DIM = 120


def import_navigator(path: Path, *, out: Path, generator: str | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Convert a navigator of another program; writes one file into `out`, or nothing.

    Args:
        path: the foreign file.
        out: the folder to write `navigator.safetensors` into.
        generator: the name of the generator it was trained on; None takes BigBiGAN, the only one for which the
            authors published a navigator, where the latent size is BigBiGAN's.
        overwrite: replace a navigator that is in `out` already.

    Returns:
        The file, its latent and hidden sizes, the generator, the sha256 of the source, and whether the source is the
        authors' published file.

    Raises:
        DataError: the file is no navigator.
        UsageError: `out` has a navigator already, or the generator is unknown or has to be named.
    """
    target = out / FILE_NAME
    if generator is not None:
        generators.entry(generator)
    if target.exists() and not overwrite:
        raise UsageError(f"There is a navigator in {out} already.", fix="Name another folder, or add --overwrite.")
    navigator = read_foreign_navigator(path)
    if generator is None and navigator.latent_dim != _AUTHORS_DIM:
        raise UsageError(
            f"{path} is a navigator of {navigator.latent_dim} latent coordinates, not BigBiGAN's {_AUTHORS_DIM}.",
            fix="Name the generator it was trained on with --generator.",
        )
    name = generator or AUTHORS_GENERATOR
    source = {"file": path.name, "sha256": sha256_of(path)}
    made_by: dict[str, Any] = {"stage": "navigator import", "generator": name, "source": source}
    if name == AUTHORS_GENERATOR:
        made_by["prior"] = AUTHORS_PRIOR.model_dump(mode="json")
    with disk_faults(target):
        save_navigator(target, navigator, made_by=made_by)
    return {
        "navigator": str(target),
        "latent_dim": navigator.latent_dim,
        "hidden": navigator.hidden,
        "generator": name,
        "source_sha256": source["sha256"],
        "published": source["sha256"] == AUTHORS_SHA256,
    }
