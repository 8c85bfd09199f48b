"""Whether the encoders of PNG images keep up with the generator, and which other format would.

PNG compression takes about the same time whatever made the image, so a fast GPU outruns the cores beside it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from copgen.pairs import EncodedPair, Plan
from copgen.pairs.codecs import DEFAULT_QUALITY, ImageFormat, decode, encode
from copgen.stages.sample.rehearsal import Rehearsal

SAMPLE = 16  # pairs that are encoded in the other formats
LOSSY: tuple[ImageFormat, ...] = ("jpg", "webp")


def advice(plan: Plan, found: Rehearsal, *, threads: int, workers: int) -> str | None:
    """A sentence for a run whose generator is faster than its PNG encoders; None if these keep up.

    Args:
        plan: of the run.
        found: its rehearsal.
        threads: number that encode at the same time; 0: each worker, between its batches.
        workers: number of generators.
    """
    at_once = threads or workers
    generated, encoded = workers / found.making_s, at_once / found.encoding_s
    if plan.image_format != "png" or encoded >= generated:
        return None
    seconds = {format: _seconds(plan, found.pairs[:SAMPLE], format) for format in ("png", *LOSSY)}
    rates = {format: at_once / (found.encoding_s + seconds[format] - seconds["png"]) for format in LOSSY}
    faster = {format: rate for format, rate in rates.items() if rate > encoded}
    others = " and ".join(f"{rate:,.0f} with --image-format {format}" for format, rate in faster.items())
    return (
        f"the PNG encoders do not keep up: {encoded:,.0f} pairs/s with {at_once} of them; the generator makes "
        f"{generated:,.0f}" + (f". They encode {others} (lossy)" if others else "")
    )


def _seconds(plan: Plan, pairs: Sequence[EncodedPair], format: ImageFormat) -> float:
    """Seconds to encode the images of a pair in a format, in one thread."""
    images = [decode(member, "png", plan.image_shape) for pair in pairs for member in pair.members[:-1]]
    start = time.perf_counter()
    for image in images:
        encode(image, format, DEFAULT_QUALITY[format])
    return (time.perf_counter() - start) / len(pairs)
