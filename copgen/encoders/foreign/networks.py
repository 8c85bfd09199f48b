"""The ResNets in the content of a foreign checkpoint: where they are, what they are called, and which one is meant.

A network is found by the name of a tensor that every ResNet has, `PREFIX layer1.0.conv1.weight` (or what a `Layout`
makes of it), so any prefix is recognised: module. (DistributedDataParallel), module.encoder_q. (MoCo),
module.base_encoder. (MoCo v3), encoder. or backbone. (SimCLR, lightly, solo-learn), model. (Lightning),
teacher.backbone. (DINO), classy_state_dict.base_model.model.trunk._feature_blocks. (VISSL), encoder.module. (COP-Gen),
below any dictionaries (state_dict, model, ...).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.encoders.foreign.layouts import LAYOUTS, Layout
from copgen.encoders.resnet import ARCHITECTURES, build
from copgen.runtime.errors import DataError
from copgen.storage.foreign import ForeignArray, is_module, module_tensors

Names = Mapping[str, Tensor]
LARGEST = "resnet50"  # its parts are those of every ResNet
MOST = 32  # networks in a file
EVERY_RESNET = "layer1.0.conv1.weight"
COUNTER = "num_batches_tracked"  # absent before PyTorch 0.4.1, and in VISSL; evaluation does not use it
# Words in the prefix of a network that its program evaluates before the one trained by gradients ...
FIRST = frozenset({"teacher", "state_dict_ema"})
# ... and in that of a copy which it does not evaluate: moving averages, momentum encoders, DINO's student.
COPIES = frozenset({"encoder_k", "ema", "momentum", "target", "student"})


@dataclass(frozen=True)
class Network:
    """A ResNet in a checkpoint.

    Attributes:
        prefix: what precedes its names, with a dot at the end unless it is empty.
        layout: its names.
        arch: the architecture that its names fit best.
        missing: the names of that architecture that it does not have.
    """

    prefix: str
    layout: Layout
    arch: str
    missing: tuple[str, ...]

    @property
    def rank(self) -> int:
        """0 for what its program evaluates, 1 for an ordinary network, 2 for a copy."""
        parts = self.prefix.split(".")
        words = {*parts, *(word for part in parts for word in part.split("_"))}
        return 0 if words & FIRST else 2 if words & COPIES else 1

    def spelled(self, name: str) -> str:
        """The whole name in the checkpoint of a tensor called `name` in copgen."""
        return self.prefix + self.layout(name)

    def in_backbone(self, name: str) -> bool:
        """Whether a name in the checkpoint is that of a part of the backbone, rather than of a head."""
        own = name.removeprefix(self.prefix)
        return name.startswith(self.prefix) and own.partition(".")[0] in parts(self.layout)


def parts(layout: Layout) -> set[str]:
    """The first words of the names of a backbone."""
    return {layout(name).partition(".")[0] for name in names_of(LARGEST)}


@cache
def names_of(arch: str) -> tuple[str, ...]:
    """copgen's names of the tensors of an architecture."""
    with torch.device("meta"):
        return tuple(build(arch).state_dict())


def tensors_of(content: Any, path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by their dotted names: the keys on the way to them.

    Raises:
        DataError: two tensors have the same name.
    """
    found: dict[str, Tensor] = {}
    waiting: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    while waiting:
        place, value = waiting.pop()
        if is_module(value):
            value = module_tensors(value)
        if isinstance(value, ForeignArray) and not isinstance(value.values, list) and value.values.dtype.kind in "fiu":
            value = torch.from_numpy(value.values.copy())
        if isinstance(value, Tensor):
            if place in found:
                raise DataError(f"{path} has two tensors that are called '{place}'.")
            found[place] = value
        elif isinstance(value, dict) and id(value) not in seen:
            seen.add(id(value))
            waiting += [(f"{place}.{key}" if place else str(key), below) for key, below in reversed(value.items())]
    return found


def networks_in(tensors: Names, arch: str | None = None) -> list[Network]:
    """The ResNets among the tensors, each with the architecture and layout that fit best.

    Args:
        tensors: as from `tensors_of`.
        arch: the architecture that is expected; None: any.
    """
    found = []
    places: dict[str, list[Layout]] = {}
    for layout in LAYOUTS:
        for prefix in prefixes(tensors, layout):
            places.setdefault(prefix, []).append(layout)
    for prefix, layouts in list(places.items())[:MOST]:
        own = {name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}
        fits = [fit(prefix, own, layout, one) for layout in layouts for one in ([arch] if arch else ARCHITECTURES)]
        found.append(min(fits, key=lambda one: one[0])[1])
    return found


def prefixes(tensors: Names, layout: Layout) -> list[str]:
    """What precedes the name that every ResNet has."""
    sign = layout(EVERY_RESNET)
    found = [name.removesuffix(sign) for name in tensors if name.endswith(sign)]
    return [prefix for prefix in found if not prefix or prefix.endswith(".")]


def fit(prefix: str, own: set[str], layout: Layout, arch: str) -> tuple[int, Network]:
    """How many names differ, and the network, if it has this layout and architecture."""
    wanted = {layout(name): name for name in names_of(arch)}
    missing = tuple(name for spelled, name in wanted.items() if spelled not in own and not name.endswith(COUNTER))
    backbone = parts(layout)
    more = [name for name in own - wanted.keys() if name.partition(".")[0] in backbone]
    return len(missing) + len(more), Network(prefix, layout, arch, missing)


def groups(names: Iterable[str], prefix: str) -> dict[str, int]:
    """How many tensors are in each part of a checkpoint beside the network at a prefix."""
    chosen = prefix.split(".")[:-1]

    def part(name: str) -> str:
        words = name.split(".")
        common = 0
        while words[common : common + 1] == chosen[common : common + 1] != []:
            common += 1
        return ".".join(words[: common + 1])

    return dict(sorted(Counter(map(part, names)).items()))
