"""The report of a bundle: what is known goes in (parts), one self-contained HTML page comes out (page)."""

from edge_deploy.report.gather import read_sizes
from edge_deploy.report.page import write_report
from edge_deploy.report.parts import DataRow, Finding, HeatMap, ParityRow, Report, Shown, Timing

__all__ = [
    "DataRow",
    "Finding",
    "HeatMap",
    "ParityRow",
    "Report",
    "Shown",
    "Timing",
    "read_sizes",
    "write_report",
]
