"""The size of a pairs folder in bytes: an estimate from some of its pairs, and an upper bound without any."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from copgen.pairs import dali_index
from copgen.pairs.card import card
from copgen.pairs.manifest import Manifest
from copgen.pairs.plan import Plan
from copgen.pairs.record import Record
from copgen.pairs.shard import EncodedPair
from copgen.pairs.tar import BLOCK, RECORD, padded, total_bytes

METADATA_BOUND = 4096  # bytes; copgen's own metadata are a few numbers
NOISE = 2  # an encoded image is at most twice its pixels, plus 2 KiB of headers and tables, in any format


def expected_bytes(plan: Plan, sample: Sequence[EncodedPair]) -> int:
    """Bytes of the whole folder if its pairs are like those of the sample (at least one)."""
    sizes = [[len(member) for member in pair.members] for pair in sample]
    each = fmean(sum(BLOCK + padded(size) for size in members) for members in sizes)
    whole, rest = divmod(plan.pairs, plan.pairs_per_shard)
    tars = [(whole, total_bytes(round(each * plan.pairs_per_shard))), (int(rest > 0), total_bytes(round(each * rest)))]
    total = sum(count * size for count, size in tars)
    # A typical line of the index: a pair from the middle of the run in the middle of its shard.
    offset = round(each * min(plan.pairs, plan.pairs_per_shard) / 2)
    places = [offset] * len(plan.components)
    line = fmean(len(dali_index.line(plan.pairs // 2, plan.components, places, members)) + 1 for members in sizes)
    return round(total + line * plan.pairs + _documents(plan, total))


def most_bytes(plan: Plan) -> int:
    """Upper bound of the folder's bytes, whatever the images."""
    channels, height, width = plan.image_shape
    image = BLOCK + padded(NOISE * channels * height * width + 2048)
    lines = len(plan.components) * 64
    pair = image * (1 + plan.positives) + BLOCK + padded(METADATA_BOUND) + lines
    total = plan.pairs * pair + plan.shards * 2 * RECORD
    return total + _documents(plan, total)


def _documents(plan: Plan, total: int) -> int:
    """Bytes of plan, card, records and manifest."""
    record = Record(
        shard=plan.shards - 1,
        plan=plan.digest,
        count=plan.pairs_per_shard,
        bytes=total // plan.shards,
        sha256="0" * 64,
        index_bytes=100 * plan.pairs_per_shard,
        index_sha256="0" * 64,
    )
    one, two = (len(Manifest.of(plan, (record,) * count).text()) for count in (1, 2))
    records = plan.shards * (len(record.text()) + two - one)
    return len(plan.text()) + len(card(plan, total_bytes=total)) + records + 2 * one - two
