"""The environment variables of copgen, read here and nowhere else.

NO_COLOR and TERM are the terminal library's business, and it honours both; proxies are the standard library's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def debug_wanted() -> bool:
    """Whether COPGEN_DEBUG asks for the traceback of an unexpected error."""
    return os.environ.get("COPGEN_DEBUG", "") not in ("", "0")


def weights_directory() -> Path | None:
    """The folder that COPGEN_WEIGHTS names."""
    named = os.environ.get("COPGEN_WEIGHTS", "")
    return Path(named).expanduser() if named else None


def user_cache() -> Path:
    """copgen's folder in the user's cache: $XDG_CACHE_HOME/copgen, or ~/.cache/copgen where that is not set."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says to ignore a relative one.
    base = Path(named) if named and Path(named).is_absolute() else Path("~/.cache").expanduser()
    return base / "copgen"


@dataclass(frozen=True)
class Placement:
    """This process among several: its number of all, of this machine, and how many there are."""

    rank: int = 0
    local_rank: int = 0
    world: int = 1


def rank_variables(rank: int, world: int, port: int) -> dict[str, str]:
    """This process's environment with a rank's place in it; the store is this process's, at a port of this machine."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    shared = {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    return {**os.environ, **shared, **{name: str(value) for name, value in place.items()}}


def placement() -> Placement:
    """What torchrun's variables RANK, LOCAL_RANK and WORLD_SIZE say; one process alone without them."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "RANK" not in os.environ:
        return Placement()
    rank = int(os.environ["RANK"])
    return Placement(rank, int(os.environ.get("LOCAL_RANK", rank)), world)
