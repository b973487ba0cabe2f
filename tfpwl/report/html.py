"""``report.html``: one page that holds everything it shows, for one run or for several side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import tfpwl
from tfpwl.errors import MissingDependencyError
from tfpwl.report import charts, html_tables
from tfpwl.report.build_report import BuildReport
from tfpwl.report.search import SearchRecord
from tfpwl.report.tables import summary_rows

_PAGE = resources.files("tfpwl.report") / "page"


def render_html(
    reports: Sequence[BuildReport], *, title: str | None = None, searches: Mapping[str, SearchRecord] | None = None
) -> str:
    """The page: gates, runs side by side, then path, mixes, precision, sizes, environment and configuration of each.

    Nothing is fetched when it is opened: the charts' library (Vega, 0.9 MB) is in the page, which forbids the browser
    any request. Without JavaScript the tables are still there.

    Args:
        reports: at least one. Runs of one name get a number.
        title: of the page; the run's name by default.
        searches: by the tier that they were for.

    Raises:
        MissingDependencyError: jinja2, PyYAML or vl-convert-python is not installed.
        ValueError: there is no report.

    Example:
        >>> Path("report.html").write_text(render_html([report]))                  # doctest: +SKIP
    """
    if not reports:
        raise ValueError("Received no report; expected at least one.")
    try:
        import jinja2  # noqa: PLC0415
        import vl_convert  # noqa: F401, PLC0415
        import yaml  # noqa: PLC0415
    except ImportError as exc:
        raise MissingDependencyError(f"The page needs {exc.name}: pip install 'tfpwl[train]'") from exc
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: (_PAGE / name).read_text(encoding="utf-8")),
    )  # fmt: skip
    environment.filters["yaml"] = lambda data: yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    reports = _told_apart(reports)
    return environment.get_template("report.html.j2").render(
        title=title or reports[0].label if len(reports) == 1 else title or f"{len(reports)} runs",
        reports=reports,
        sections=[_section(report, (searches or {}).get(report.tier or "")) for report in reports],
        gates=html_tables.gates_table(reports),
        passed=all(report.passed for report in reports), runs=_side_by_side(reports), version=tfpwl.__version__,
        vega=_vega(),
    )  # fmt: skip


@cache
def _vega() -> str:
    """The charts' library, bundled once for all pages of a build: it takes more than a second."""
    import vl_convert  # noqa: PLC0415

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _told_apart(reports: Sequence[BuildReport]) -> list[BuildReport]:
    """The reports with labels of their own; charts and tables know a run by its label."""
    often = Counter(report.label for report in reports)
    seen: Counter[str] = Counter()
    told = []
    for report in reports:
        seen[report.label] += 1
        number = f" #{seen[report.label]}" if often[report.label] > 1 else ""
        told.append(replace(report, name=f"{report.name}{number}"))
    return told


def _side_by_side(reports: Sequence[BuildReport]) -> dict[str, Any] | None:
    if len(reports) == 1:
        return None
    costs: tuple[charts.Cost, ...] = ("bytes", "latency")
    return {
        "table": html_tables.runs_table(reports),
        "charts": [chart for cost in costs if (chart := charts.path_chart(reports, cost)) is not None],
    }


def _section(report: BuildReport, search: SearchRecord | None) -> dict[str, Any]:
    return {"report": report, "summary": summary_rows(report), "parts": [*_parts(report), *_search_part(search)]}


def _parts(report: BuildReport) -> Iterator[dict[str, Any]]:
    """Heading, charts and table of each part of one run."""
    paths = [charts.path_chart([report], "bytes"), charts.path_chart([report], "latency")]
    order = ", ".join(map(str, report.order))
    yield _part(f"Path in order {order}", html_tables.path_rows(report), [chart for chart in paths if chart])
    if report.off_path:
        yield _part(f"All {len(report.mixes)} mixes", html_tables.mix_rows(report))
    if report.rungs:
        yield _part("Precision ladder", html_tables.ladder_rows(report), [charts.ladder_chart(report)])
    if report.pruning:
        yield _part("Pruning", html_tables.pruning_rows(report), [charts.pruning_chart(report)])
    if report.finetuning:
        yield _part("Fine-tuning on device data", html_tables.finetune_table(report))
    if report.groups:
        yield _part("Sizes of the groups", html_tables.group_rows(report), [charts.groups_chart(report)])


def _search_part(search: SearchRecord | None) -> Iterator[dict[str, Any]]:
    if search is not None:
        title = f"Search: {search.title}"
        yield _part(title, html_tables.trial_rows(search), [charts.trials_chart(search)])


def _part(title: str, table: html_tables.HtmlTable, drawn: Sequence[charts.Spec] = ()) -> dict[str, Any]:
    return {"title": title, "table": table, "charts": drawn}
