"""Pairs of real digits, for the tests of `eval pairs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from copgen import pairs
from copgen.data import digits
from copgen.pairs import to_uint8
from copgen.stages.eval.settings.pairs import EvalPairsSettings
from tests.pairs import folders

Positive = Callable[[Tensor, int], Tensor]


def write(folder: Path, positive: Positive, *, count: int = 60, transform: str = "gaussian", **changes: Any) -> Path:
    """Pairs of real digits and what `positive` makes of each, with its class and d = 0.1, 0.2, ... in the metadata."""
    images = to_uint8(digits.load("train").images)
    made = folders.plan(
        pairs=count,
        pairs_per_shard=25,
        image_shape=(1, 8, 8),
        transform={"name": transform},
        versions={"copgen": "0.1.0", **pairs.encoder_versions("png", (1, 8, 8))},
        **changes,
    )
    made.save(folder)

    def pair(index: int) -> pairs.Pair:
        positives = tuple(positive(images, index + 1000 * j) for j in range(made.positives))
        return pairs.Pair(index, images[index], positives, {"d": 0.1 * (1 + index % 3), "class": index % 2})

    for number in range(made.shards):
        pairs.write_shard(folder, made, number, map(pair, made.shard_range(number)))
    pairs.finish(folder, made)
    return folder


def slightly(images: Tensor, index: int) -> Tensor:
    """The anchor, darker at a random place."""
    changed = images[index % 1000].clone()
    changed[0, (index + index // 1000) % 8] -= changed[0, (index + index // 1000) % 8] // 4
    return changed


def same(images: Tensor, index: int) -> Tensor:
    return images[index % 1000]


def another(images: Tensor, index: int) -> Tensor:
    """An image that has nothing to do with the anchor."""
    return images[(7 * index + 311) % 1000]


def quick(folder: Path, **changes: Any) -> EvalPairsSettings:
    values = {"pairs": folder, "device": "cpu", "classifier": "none", "n": 50, "rows": 3}
    return EvalPairsSettings.model_validate(values | changes)


def check_of(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (check for check in result["checks"] if check["name"] == name)
    return dict(found)
