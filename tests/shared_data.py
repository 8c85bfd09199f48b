"""Files that may not be shipped: public checkpoints and what the reference networks give for them.

They lie in `../shared`, beside the checkout, or where COPGEN_SHARED_DATA says; a test that needs an absent one is
skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

FOLDER = Path(os.environ.get("COPGEN_SHARED_DATA") or Path(__file__).parents[2] / "shared")


def shared(path: str) -> Path:
    """A file or folder of the shared data, such as 'parity/bigbigan'; skips the test where it is absent."""
    found = FOLDER / path
    if not found.exists():
        pytest.skip(f"no {path} in {FOLDER.name}/ (COPGEN_SHARED_DATA names another folder)")
    return found


def shared_weights(path: str, folder: Path) -> Path:
    """Published weights in the shared data, as the public file is.

    The shared BigBiGAN has a class table of random rows, of which the reference uses row 0. The public file has one row
    a thousand times; a copy of that kind is written into `folder`.
    """
    found = shared(f"parity/{path}")
    if found.name != "BigBiGAN_x1.pth":
        return found
    tensors = torch.load(found, weights_only=True)
    tensors["shared.weight"] = tensors["shared.weight"][:1].repeat(len(tensors["shared.weight"]), 1)
    torch.save(tensors, folder / found.name)
    return folder / found.name
