"""What an encoder was trained on, as recorded in its file: hashes of the data, and where pairs come from."""

from __future__ import annotations

from typing import Any

from copgen.data.pairs import GeneratedPairs
from copgen.data.pairs_folder import PairsFolder
from copgen.data.source import Source
from copgen.pairs.provenance import of_folder, provenance
from copgen.stages.pretrain.online import OnlinePairs


def origin(source: Source) -> dict[str, Any]:
    """`inputs`, the hashes of the data, and of pairs their provenance."""
    inputs = {"inputs": dict(source.inputs)}
    match source:
        case PairsFolder():
            return {**inputs, "pairs": of_folder(source.folder, source.plan)}
        case GeneratedPairs():
            return {**inputs, "pairs": of_folder(source.pairs.folder, source.pairs.plan)}
        case OnlinePairs():
            return {**inputs, "pairs": provenance(source.plan, transform_file=source.transform_file)}
    return inputs
