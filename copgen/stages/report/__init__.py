"""`copgen report`: runs and results as one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.report.settings import ReportSettings
    from copgen.stages.report.stage import write_report

__all__ = ["ReportSettings", "write_report"]
__getattr__, __dir__ = later.names(__name__, {"settings": ["ReportSettings"], "stage": ["write_report"]})
