"""The generator that a navigator or walk was trained on, for a command that names none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.errors import DataError

# What the run of a navigator or walk says of its generator, and its pairs should repeat.
OF_THE_GENERATOR = ("weights", "instances", "prior", "truncation_scale", "truncation_threshold", "inverse", "precision")


def complete(source: dict[str, Any], path: Path, *, steering: bool = False, again: bool = False) -> dict[str, Any]:
    """The generator that a navigator or walk was trained on, and how it was loaded, where that was not given.

    Args:
        source: what was given.
        path: of the navigator or walk.
        steering: it is a walk.
        again: the pairs were made before, and no other one than theirs will do.

    Raises:
        DataError: there is none, or its header is none of copgen's.
    """
    from copgen.latents.files import navigator_file, walk_file
    from copgen.runtime.tensor_header import read_header

    file = walk_file(path) if steering else navigator_file(path)
    if not file.exists():
        kind, flag = ("walk", "--walk") if steering else ("navigator", "--navigator")
        how = "copgen navigate --objective steering" if steering else "copgen navigate"
        one = "Name the one that made the pairs" if again else f"Train one with {how}, or name it"
        raise DataError(f"There is no {kind} {file}.", fix=f"{one} with {flag}.")
    header = read_header(file, kind="walk" if steering else "navigator")
    made_by = header.get("made_by", {})
    generator = source["generator"] or made_by.get("generator")
    trained = made_by.get("settings", {}) if generator == made_by.get("generator") else {}
    known = {name: trained[name] for name in OF_THE_GENERATOR if name in trained}
    given = {name: value for name, value in source.items() if value is not None}
    return {**source, **known, **given, "generator": generator}
