"""What a build measured, as data (:class:`BuildReport`) and as tables, Markdown and a figure."""

from tfpwl.report.build_report import BuildReport, GateResult, MixRecord
from tfpwl.report.figure import plot_accuracy_path
from tfpwl.report.markdown import render_markdown
from tfpwl.report.tables import mixes_table, path_table, summary_table

__all__ = [
    "BuildReport",
    "GateResult",
    "MixRecord",
    "mixes_table",
    "path_table",
    "plot_accuracy_path",
    "render_markdown",
    "summary_table",
]
