"""The page that shows what runs did: run folders in, one self-contained HTML document and its pictures out."""

from __future__ import annotations

from copgen.report.page.document import Page, page_of
from copgen.report.page.record import Record, find

__all__ = ["Page", "Record", "find", "page_of"]
