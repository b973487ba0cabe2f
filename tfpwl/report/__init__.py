"""What a build measured, as data (:class:`BuildReport`), and as tables, Markdown, HTML, JUnit XML and a figure."""

from tfpwl.report.build_report import BuildReport, GateResult, MixRecord
from tfpwl.report.comparison import Comparison, Growth, compare_reports
from tfpwl.report.figure import plot_accuracy_path
from tfpwl.report.finetuning import FinetuneRecord
from tfpwl.report.html import render_html
from tfpwl.report.junit import render_junit
from tfpwl.report.markdown import render_markdown
from tfpwl.report.pruning import PruneRecord
from tfpwl.report.reading import read_reports
from tfpwl.report.rungs import BoundaryRecord, RungRecord
from tfpwl.report.schema import metrics_schema
from tfpwl.report.search import SearchRecord, TrialRecord, search_sheet
from tfpwl.report.sheets import markdown_table, rich_table
from tfpwl.report.sizes import GroupSizes, group_sizes
from tfpwl.report.tables import mixes_table, path_table, rungs_table, summary_table
from tfpwl.report.tiers import TierRecord, tiers_sheet

__all__ = [
    "BoundaryRecord",
    "BuildReport",
    "Comparison",
    "FinetuneRecord",
    "GateResult",
    "GroupSizes",
    "Growth",
    "MixRecord",
    "PruneRecord",
    "RungRecord",
    "SearchRecord",
    "TierRecord",
    "TrialRecord",
    "compare_reports",
    "group_sizes",
    "markdown_table",
    "metrics_schema",
    "mixes_table",
    "path_table",
    "plot_accuracy_path",
    "read_reports",
    "render_html",
    "render_junit",
    "render_markdown",
    "rich_table",
    "rungs_table",
    "search_sheet",
    "summary_table",
    "tiers_sheet",
]
