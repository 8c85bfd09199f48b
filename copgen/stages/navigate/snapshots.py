"""Snapshots of the navigator, `snapshots/samples-0000005000.safetensors`: the newest ones, so that disk is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copgen.latents.navigator import Navigator, save_navigator


def save_snapshot(run: Path, T_z: Navigator, *, samples: int, kept: int, made_by: Mapping[str, Any]) -> None:
    """Write the snapshot after so many samples into a run folder, and remove all but the newest `kept`."""
    folder = run / "snapshots"
    save_navigator(folder / f"samples-{samples:010d}.safetensors", T_z, made_by=made_by)
    for path in sorted(folder.glob("samples-*.safetensors"))[:-kept]:
        path.unlink(missing_ok=True)
