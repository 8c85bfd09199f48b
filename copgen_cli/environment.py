"""The environment variables of the command line, read here and nowhere else.

NO_COLOR and TERM are the terminal library's business, and it honours both.
"""

from __future__ import annotations

import os


def debug_wanted() -> bool:
    """Whether COPGEN_DEBUG asks for the traceback of an unexpected error."""
    return os.environ.get("COPGEN_DEBUG", "") not in ("", "0")
