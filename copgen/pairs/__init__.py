"""Pairs of images on disk: plan, shards, records, manifest, dataset card, reader and verification.

plan.save(folder)
for number in missing_shards(folder, plan):
    write_shard(folder, plan, number, pairs)
finish(folder, plan)
for pair in read(folder):
    ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.pairs.codecs import encoder_versions
from copgen.pairs.manifest import Manifest, finish, missing_shards
from copgen.pairs.plan import (
    Contents,
    FilterRules,
    GeneratorSource,
    ImportedPlan,
    ImportSource,
    Plan,
    PriorSource,
    Rounding,
    TransformSource,
    read_plan,
)
from copgen.pairs.record import Record
from copgen.pairs.shard import EncodedPair, Pair, encode_pair, write_shard
from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.pairs.pixels import from_uint8, to_uint8
    from copgen.pairs.reader import PairSet, open_pairs, read
    from copgen.pairs.verification import Problem, verify

__all__ = [
    "Contents",
    "EncodedPair",
    "FilterRules",
    "GeneratorSource",
    "ImportSource",
    "ImportedPlan",
    "Manifest",
    "Pair",
    "PairSet",
    "Plan",
    "PriorSource",
    "Problem",
    "Record",
    "Rounding",
    "TransformSource",
    "encode_pair",
    "encoder_versions",
    "finish",
    "from_uint8",
    "missing_shards",
    "open_pairs",
    "read",
    "read_plan",
    "to_uint8",
    "verify",
    "write_shard",
]
__getattr__, __dir__ = later.names(
    __name__,
    {
        "pixels": ["from_uint8", "to_uint8"],
        "reader": ["PairSet", "open_pairs", "read"],
        "verification": ["Problem", "verify"],
    },
)
