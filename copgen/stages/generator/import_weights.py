"""`copgen generator import`: check a published checkpoint and write it as one safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.generators import entry, weights_directory
from copgen.generators.public_files import PublicFile
from copgen.generators.weights_files import Sources
from copgen.runtime.errors import CopgenError, UsageError
from copgen.runtime.path_errors import path_errors
from copgen.storage.files import disk_faults
from copgen.storage.tensors import load_tensors, save_tensors


@path_errors()
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
        instances: stored instances of an IC-GAN, if they are not in the folder of the weights.
        out: the file to write; None: `NAME.safetensors` in the weights directory.
        directory: the weights directory; None: the default.
        overwrite: replace existing weights that differ.

    Returns:
        The file, the number of tensors and their bytes, family, licence, the sha256 of each source, whether that of the
        weights is the published one (None if none was published), and whether the file existed already.

    Raises:
        UsageError: unknown name, no published weights, or the file exists with other weights.
        DataError: keys, shapes or values do not match the generator; the error names them.
        EnvironmentFault: the file cannot be written.
    """
    known = entry(name)
    if known.convert is None:
        raise UsageError(
            f"'{name}' has no published weights to import.",
            fix="Its weights ship with copgen." if known.embedded else "Pass the weights of a plug-in with --weights.",
        )
    if out is not None and out.suffix != ".safetensors":
        raise UsageError(
            f"--out {out} does not end with .safetensors.", fix=f"Pass --out {out.with_suffix('.safetensors')}."
        )
    target = out or weights_directory.converted_file(name, directory)
    if file.suffix == ".safetensors" and recorded_sources(file) is not None:
        raise UsageError(f"{file} was imported already.", fix=f"Pass it with --weights, or move it to {target}.")
    converted = known.convert(Sources(weights=file, instances=instances))
    header = converted.header
    already = target.exists() and recorded_sources(target) == header["sources"]
    if target.exists() and not already and not overwrite:
        raise UsageError(
            f"{target} exists and holds other weights.",
            fix="Choose another file with --out, or pass --overwrite to replace it.",
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
    """The sources in the header of imported weights; None for any other file."""
    try:
        sources = load_tensors(path, kind="generator")[1].get("sources")
    except CopgenError:
        return None
    return sources if isinstance(sources, dict) else None


def is_published(files: tuple[PublicFile, ...], sha256: str) -> bool | None:
    """Whether weights are the published ones; None if no hash was published."""
    published = {file.sha256 for file in files if file.role == "weights" and file.sha256 and not file.archive}
    return sha256 in published if published else None
