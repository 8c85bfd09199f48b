"""`copgen generator import`: a published checkpoint, checked, as one safetensors file in the weights directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.generators import entry, weights_directory
from copgen.generators.public_files import PublicFile
from copgen.generators.weights_files import Sources
from copgen.runtime.errors import CopgenError, UsageError
from copgen.storage.files import disk_faults
from copgen.storage.tensors import load_tensors, save_tensors


def import_generator(
    name: str,
    file: Path,
    *,
    instances: Path | None = None,
    out: Path | None = None,
    directory: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Convert a published checkpoint; writes one file, or nothing.

    Args:
        name: the generator.
        file: its published file, or the folder that holds it.
        instances: stored instances of an IC-GAN, where they do not lie beside the weights.
        out: the file to write; None is `NAME.safetensors` in the weights directory.
        directory: the weights directory, if not the usual one.
        overwrite: replace other weights that are there.

    Returns:
        The file, the tensors and their bytes, family, licence, the sha256 of each source and whether that of the
        weights is the published one (None where none was published), and whether all of it was there already.

    Raises:
        UsageError: unknown name, no published weights, or other weights are there already.
        DataError: keys, shapes or values are not those of the generator; the error names them.
        EnvironmentFault: the file cannot be written.
    """
    known = entry(name)
    if known.convert is None:
        raise UsageError(
            f"'{name}' has no published weights to import.",
            fix="Its weights come with copgen." if known.embedded else "A plug-in loads its own, by --weights.",
        )
    if out is not None and out.suffix != ".safetensors":
        raise UsageError(f"{out} is to be a safetensors file.", fix=f"Write {out.with_suffix('.safetensors')}.")
    target = out or weights_directory.converted_file(name, directory)
    if file.suffix == ".safetensors" and recorded_sources(file) is not None:
        raise UsageError(f"{file} was imported already.", fix=f"Name it with --weights, or put it at {target}.")
    converted = known.convert(Sources(weights=file, instances=instances))
    header = converted.header
    already = target.exists() and recorded_sources(target) == header["sources"]
    if target.exists() and not already and not overwrite:
        raise UsageError(
            f"{target} holds other weights already.", fix="Name another file with --out, or add --overwrite."
        )
    if not already:
        with disk_faults(target):
            save_tensors(target, converted.tensors, kind="generator", header=header)
    return {
        "name": name,
        "weights": str(target),
        "already_imported": already,
        "family": header["family"],
        "tensors": len(converted.tensors),
        "bytes": sum(tensor.nbytes for tensor in converted.tensors.values()),
        "licence": known.licence,
        "sources": header["sources"],
        "source_sha256": header["source_sha256"],
        "published": is_published(known.files, header["source_sha256"]),
    }


def recorded_sources(path: Path) -> dict[str, str] | None:
    """The sources in the header of imported weights; None where the file is anything else."""
    try:
        sources = load_tensors(path, kind="generator")[1].get("sources")
    except CopgenError:
        return None
    return sources if isinstance(sources, dict) else None


def is_published(files: tuple[PublicFile, ...], sha256: str) -> bool | None:
    """Whether weights are the published ones, where a hash of them was published."""
    published = {file.sha256 for file in files if file.role == "weights" and file.sha256 and not file.archive}
    return sha256 in published if published else None
