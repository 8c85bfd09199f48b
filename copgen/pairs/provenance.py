"""Where pairs come from: generator, navigator and how that was trained, to record with what is learned from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.latents.run_files import navigator_file, walk_file
from copgen.pairs.places import Places
from copgen.pairs.plan import Contents
from copgen.runtime.errors import CopgenError
from copgen.storage.files import sha256_of
from copgen.storage.tensors import read_header

FILES = {"optimal": ("navigator", navigator_file), "steering": ("walk", walk_file)}  # that a transform needs


def provenance(plan: Contents, *, transform_file: Path | None = None) -> dict[str, Any]:
    """JSON-able: the hash of the plan, and what of it says where the pairs come from.

    Args:
        plan: of the pairs.
        transform_file: where the navigator or walk may be; how it was made is recorded if the file has the hash in the
            plan, as the plan has no more than the hash.
    """
    known = plan.model_dump(mode="json")
    origin = ("pairs", "positives", "seed", "generator", "prior", "transform", "filter", "imported")
    found = {"plan": plan.digest, **{name: known[name] for name in origin if known.get(name) is not None}}
    transform = known.get("transform", {})
    kind, file_of = FILES.get(transform.get("name", ""), (None, Path))
    if kind is None or transform_file is None:
        return found
    made_by = _made_by(file_of(transform_file), kind, transform.get("sha256"))
    return found if made_by is None else {**found, kind: made_by}


def of_folder(folder: Path, plan: Contents) -> dict[str, Any]:
    """`provenance` of a pairs folder, with the navigator or walk at the place that the folder remembers."""
    try:
        places = Places.load(folder)
    except CopgenError:
        places = Places()
    return provenance(plan, transform_file=places.path("navigator") or places.path("walk"))


def _made_by(file: Path, kind: str, sha256: str | None) -> dict[str, Any] | None:
    """How a navigator or walk was made, from its header; None if the file is not there, or is another."""
    try:
        made_by = read_header(file, kind=kind).get("made_by") if sha256_of(file) == sha256 else None
    except (CopgenError, OSError):
        return None
    return made_by if isinstance(made_by, dict) else None
