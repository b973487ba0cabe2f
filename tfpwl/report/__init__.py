"""What a build measured, as data (:class:`BuildReport`) and as tables, Markdown and a figure."""

from tfpwl.report.build_report import BuildReport, GateResult, MixRecord
from tfpwl.report.figure import plot_accuracy_path
from tfpwl.report.markdown import render_markdown
from tfpwl.report.rungs import BoundaryRecord, RungRecord
from tfpwl.report.tables import mixes_table, path_table, rungs_table, summary_table

__all__ = [
    "BoundaryRecord",
    "BuildReport",
    "GateResult",
    "MixRecord",
    "RungRecord",
    "mixes_table",
    "path_table",
    "plot_accuracy_path",
    "render_markdown",
    "rungs_table",
    "summary_table",
]
