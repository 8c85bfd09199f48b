"""Results of evaluations beside each other, with the paper's own: rows are methods, columns are evaluations."""

from __future__ import annotations

from copgen.report.comparison.reading import Result, find_results, read_results
from copgen.report.comparison.table import Cell, Column, Comparison, Row, compared, labelled

__all__ = ["Cell", "Column", "Comparison", "Result", "Row", "compared", "find_results", "labelled", "read_results"]
