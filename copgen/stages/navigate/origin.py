"""The provenance of a navigator or walk: the generator, identified by the hash of its weights."""

from __future__ import annotations

from typing import Any

from copgen import generators


def inputs(G: generators.Generator) -> dict[str, str]:
    """The inputs of a run on this generator, by name and hash."""
    instances = G.settings.get("instances_sha256")
    return {"generator": G.weights_sha256, **({"instances": str(instances)} if instances else {})}


def source(G: generators.Generator) -> dict[str, Any]:
    """The generator as recorded in the file of a navigator or walk."""
    return {"generator": G.name, "weights_sha256": G.weights_sha256}
