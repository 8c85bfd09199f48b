"""Which ResNet of a checkpoint is meant, and whether it is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from copgen.encoders.foreign.networks import EVERY_RESNET, Network, names_of, networks_in
from copgen.encoders.resnet import ARCHITECTURES
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Events

_SHOWN = 6


def choose(
    tensors: Mapping[str, Tensor], path: Path, *, arch: str | None, prefix: str | None, events: Events
) -> Network:
    """The network at the prefix; else the complete one of the best rank (see `Network.rank`), if it is the only one.

    Raises:
        DataError: there is no ResNet, there are several of the best rank, or it is not a whole one.
        UsageError: no ResNet has this prefix.
    """
    networks = networks_in(tensors, arch)
    if not networks:
        raise DataError(
            f"{path} holds no ResNet: none of its {len(tensors)} tensors is called '{EVERY_RESNET}', with any prefix "
            f"(it has {shortened(list(tensors)) or 'none'}).",
            fix=f"copgen reads {shortened(sorted(ARCHITECTURES))}.",
        )
    if prefix is not None:
        networks = at_prefix(networks, prefix, path)
    complete = [one for one in networks if not one.missing] or [min(networks, key=lambda one: len(one.missing))]
    best = min(one.rank for one in complete)
    equal = [one for one in complete if one.rank == best]
    if len(equal) > 1:
        raise DataError(
            f"{path} holds {len(equal)} ResNets, with the prefixes {prefixes_of(equal)}.",
            fix="Choose one with copgen encoder import FILE --prefix PREFIX.",
        )
    if len(networks) > 1:
        events.say(f"{path} holds ResNets with the prefixes {prefixes_of(networks)}; '{equal[0].prefix}' is used.")
    refuse_misfits(equal[0], tensors, path, arch=arch)
    return equal[0]


def at_prefix(networks: Sequence[Network], prefix: str, path: Path) -> list[Network]:
    """The networks with a prefix, or else those whose prefixes end with it."""
    wanted = prefix.strip(".")
    places = {one.prefix.rstrip("."): one for one in networks}
    if wanted in places:
        return [places[wanted]]
    found = [one for place, one in places.items() if wanted and place.endswith(f".{wanted}")]
    if not found:
        raise UsageError(f"{path} has no ResNet with the prefix '{prefix}'.", fix=f"It has {prefixes_of(networks)}.")
    return found


def refuse_misfits(network: Network, tensors: Mapping[str, Tensor], path: Path, *, arch: str | None) -> None:
    """Refuse a network that lacks tensors of its architecture, or whose backbone has others."""
    own = set(map(network.spelled, names_of(network.arch)))
    missing = list(map(network.spelled, network.missing))
    more = [name for name in tensors if name not in own and network.in_backbone(name)]
    if not missing and not more:
        return
    name, problem = (missing[0], "is missing") if missing else (more[0], "is unexpected")
    fitting = [one.arch for one in networks_in(tensors) if not one.missing] if arch is not None else []
    raise DataError(
        f"{path}: tensor '{name}' {problem} for {network.arch} ({len(missing)} missing, {len(more)} unexpected in "
        "its backbone).",
        fix=f"Its names are those of {fitting[0]}: pass --arch {fitting[0]}."
        if fitting
        else "Save the whole backbone again, as a ResNet-18, 34 or 50 of torchvision; no file is loaded in part.",
    )


def prefixes_of(networks: Sequence[Network]) -> str:
    """Their prefixes in quotes."""
    return ", ".join(f"'{one.prefix}'" for one in networks)


def shortened(names: Sequence[str]) -> str:
    """A few names."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
