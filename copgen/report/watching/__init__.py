"""The page of a run, served on this machine while the run is being written."""

from __future__ import annotations

from copgen.report.watching.server import Watch

__all__ = ["Watch"]
