"""The environment variables of copgen, read here and nowhere else.

NO_COLOR and TERM are the terminal library's business, and it honours both; proxies are the standard library's.
"""

from __future__ import annotations

import os
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
