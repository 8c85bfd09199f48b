"""`copgen navigator import`: convert a navigator of the authors' code or a steering walk of GenRep to our format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen import generators
from copgen.latents import navigator as navigators
from copgen.latents import walks
from copgen.latents.foreign_navigator import navigator_of
from copgen.latents.foreign_walk import is_walk, walk_of
from copgen.latents.navigator import Navigator, save_navigator
from copgen.latents.prior import Prior
from copgen.latents.walks import Walk, save_walk
from copgen.runtime.errors import UsageError
from copgen.runtime.path_errors import path_errors
from copgen.storage.files import disk_faults, fsync_folder, sha256_of
from copgen.storage.foreign import read_foreign

AUTHORS_SHA256 = "a1ff15c3ce61b6e418b7d0300d9b264681a8da49d4caf5c277475a634b24bf94"
AUTHORS_GENERATOR = "bigbigan"
AUTHORS_PRIOR = Prior(kind="truncated_normal", threshold=2.0)
_AUTHORS_DIM = 120
GENREP_SHA256 = frozenset(
    {
        "91946887d2a84b0271d9030d8b0c338dc6cd7bf87e67d38b87ed5c2dbc14f967",
        "48b0adce297770c9f792c66e8ef523a3add81bfb5ebd5cbe555828ac0cd78d5c",
    }
)
GENREP_GENERATOR = "biggan-deep-256"
_GENREP_DIM = 128


@path_errors()
def import_navigator(path: Path, *, out: Path, generator: str | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Convert a navigator or walk of another program; writes one file into `out`, or nothing.

    Args:
        path: the foreign file.
        out: the folder to write `navigator.safetensors` or `walk.safetensors` into.
        generator: the name of the generator it was trained on; None: the one for which such files were published, if
            the latent size matches: BigBiGAN for navigators, BigGAN-deep-256 for GenRep's walks.
        overwrite: replace the navigator or walk in `out`, of either kind: the folder then holds the new one alone.

    Returns:
        The kind (navigator or walk), its file, latent size and form, the hidden size of a navigator, the generator, the
        sha256 of the source, and whether the source is a published file.

    Raises:
        DataError: the file is neither.
        UsageError: `out` contains one already, or the generator is unknown or has to be given.
    """
    if generator is not None:
        generators.entry(generator)
    for name in (navigators.FILE_NAME, walks.FILE_NAME):
        if (out / name).exists() and not overwrite:
            kind = "navigator" if name == navigators.FILE_NAME else "walk"
            raise UsageError(
                f"{out} contains a {kind} already.", fix="Choose another folder, or pass --overwrite to replace it."
            )
    content = read_foreign(path)
    steering = is_walk(content)
    brought = walk_of(content, path) if steering else navigator_of(content, path)
    known, dim = (GENREP_GENERATOR, _GENREP_DIM) if steering else (AUTHORS_GENERATOR, _AUTHORS_DIM)
    kind = "walk" if steering else "navigator"
    if generator is None and brought.latent_dim != dim:
        whose = "BigGAN-deep's" if steering else "BigBiGAN's"
        raise UsageError(
            f"{path} is a {kind} with {brought.latent_dim} latent coordinates, not {whose} {dim}.",
            fix="Pass the generator it was trained on with --generator.",
        )
    name = generator or known
    source = {"file": path.name, "sha256": sha256_of(path)}
    made_by: dict[str, Any] = {"stage": "navigator import", "generator": name, "source": source}
    if name == AUTHORS_GENERATOR or (steering and name == GENREP_GENERATOR):
        made_by["prior"] = AUTHORS_PRIOR.model_dump(mode="json")
    names = walks.FILE_NAME, navigators.FILE_NAME
    target, replaced = (out / file for file in (names if steering else reversed(names)))
    with disk_faults(target):
        if isinstance(brought, Walk):
            save_walk(target, brought, made_by=made_by)
        else:
            save_navigator(target, brought, made_by=made_by)
        if replaced.exists():  # whoever opens the folder would get it: a navigator comes before a walk
            replaced.unlink()
            fsync_folder(out)
    return {
        "kind": kind,
        kind: str(target),
        "latent_dim": brought.latent_dim,
        **({"hidden": brought.hidden} if isinstance(brought, Navigator) else {}),
        "form": brought.form,
        "generator": name,
        "source_sha256": source["sha256"],
        "published": source["sha256"] in {AUTHORS_SHA256, *GENREP_SHA256},
    }
