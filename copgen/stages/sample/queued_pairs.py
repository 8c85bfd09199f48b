"""The pairs of a batch whose pixels are still being generated: the device writes them while others are queued.

The thread that made it only queued work. Whoever takes pairs waits for them, checks that they are finite, and does
what Python does for each pair: that is an encoder thread, unless the images are too small for one.

Legend: N pairs, P positives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from torch import Tensor

from copgen.generators import Generator
from copgen.pairs import Pair
from copgen.runtime.device_copies import Arrival
from copgen.runtime.errors import DataError
from copgen.stages.sample.nearest import Found


@dataclass(frozen=True, eq=False)
class QueuedPairs(Sequence[Pair]):
    """The pairs of consecutive rows, on their way to the CPU.

    Attributes:
        G: their generator, which describes their conditions.
        rows: the indices of the pairs.
        condition: (N, ...), or None.
        images: of the anchors and of each positive, uint8 (N, C, H, W).
        finite: (N, 1 + P) whether each of these had finite values.
        d: (N, P) float64.
        similarity: (N, P) float64, or None without an encoder.
        rejected: (N,) number of rejected draws; None without a filter.
        found: in the pool of `nearest`, (N, P); else None.
        arrival: when all of these are on the CPU.
    """

    G: Generator
    rows: range
    condition: Tensor | None
    images: Sequence[Tensor]
    finite: Tensor
    d: Tensor
    similarity: Tensor | None
    rejected: Tensor | None
    found: Found | None
    arrival: Arrival

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, places: int) -> Pair: ...

    @overload
    def __getitem__(self, places: slice) -> list[Pair]: ...

    def __getitem__(self, places: int | slice) -> Pair | list[Pair]:
        """The pair, or the pairs, at these places of the batch.

        Raises:
            DataError: an image of the batch had non-finite values.
        """
        if isinstance(places, int):
            return self[range(len(self))[places] :][0]
        self.arrival.wait()
        refuse_not_finite(self.finite, self.rows)
        rows = self.rows[places]
        metadata: list[dict[str, Any]] = [{"index": row} for row in rows]
        if self.condition is not None:
            _add(metadata, self.G.describe_condition(self.condition[places]))
        for name, values in (("d", self.d), ("similarity", self.similarity)):
            if values is not None:
                each = values[places].round(decimals=6).tolist()
                _add(metadata, [_described(name, several) for several in each])
        if self.found is not None:
            for name, values in (("neighbour", self.found.numbers), ("neighbour_similarity", self.found.similarity)):
                _add(metadata, [_described(name, several) for several in values[places].tolist()])
        counts = [0] * len(rows) if self.rejected is None else self.rejected[places].tolist()
        if self.rejected is not None:
            _add(metadata, [{"rejected": count} for count in counts])
        anchors, *several = (images[places].unbind() for images in self.images)
        members = zip(rows, anchors, zip(*several, strict=True), metadata, counts, strict=True)
        return [Pair(*member) for member in members]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self[:])


def refuse_not_finite(finite: Tensor, rows: range) -> None:
    """Refuse images with non-finite values, given which are finite (N, 1 + P), on the CPU, of these pairs.

    Raises:
        DataError: naming the first pair.
    """
    if bool(finite.all()):
        return
    bad = ~finite
    place, image = (int(at) for at in bad.nonzero()[0])
    which = "anchor" if image == 0 else f"positive {image}" if finite.shape[1] > 2 else "positive"
    others = f"; so have {int(bad.sum()) - 1} other images of its batch" if int(bad.sum()) > 1 else ""
    raise DataError(
        f"The {which} of pair {rows[place]} has pixel values that are not finite{others}.",
        fix="Check the weights of the generator and the navigator.",
    )


def _add(metadata: Sequence[dict[str, Any]], entries: Sequence[dict[str, Any]]) -> None:
    for known, new in zip(metadata, entries, strict=True):
        known |= new


def _described(name: str, values: Sequence[float]) -> dict[str, Any]:
    """Metadata entries of a value per positive: the first has the plain name, like its image."""
    several = [round(value, 6) for value in values]
    return {name: several[0], **({f"{name}_positives": several} if len(several) > 1 else {})}
