"""Files that may not be shipped: public checkpoints and what the reference networks give for them.

They lie in `../shared`, beside the checkout, or where COPGEN_SHARED_DATA says; a test that needs an absent one is
skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("COPGEN_SHARED_DATA") or Path(__file__).parents[2] / "shared")


def shared(path: str) -> Path:
    """A file or folder of the shared data, such as 'parity/bigbigan'; skips the test where it is absent."""
    found = FOLDER / path
    if not found.exists():
        pytest.skip(f"no {path} in {FOLDER.name}/ (COPGEN_SHARED_DATA names another folder)")
    return found
