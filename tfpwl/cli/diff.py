"""``tfpwl diff``: has a build become worse than another one?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfpwl.cli.arguments import json_option, stdout_console

if TYPE_CHECKING:
    from tfpwl.report import Comparison

_RUN = click.Path(path_type=Path)
_LIMIT = click.FloatRange(min=0)


@click.command()
@click.argument("before", metavar="RUN_A", type=_RUN)
@click.argument("after", metavar="RUN_B", type=_RUN)
@click.option("--max-drop", type=_LIMIT, metavar="POINTS", help="Accuracy that any mix of the path may lose.")
@click.option("--max-bytes-growth", type=_LIMIT, metavar="PERCENT",
              help="How much the bundle, or the files of any mix of the path, may grow.")  # fmt: skip
@click.option("--max-latency-growth", type=_LIMIT, metavar="PERCENT",
              help="How much longer any mix of the path may take to answer.")  # fmt: skip
@click.option("--markdown", type=_RUN, metavar="FILE", help="Write the table as Markdown, for a pull request.")
@json_option("both figures of everything")
def diff(
    before: Path,
    after: Path,
    *,
    max_drop: float | None,
    max_bytes_growth: float | None,
    max_latency_growth: float | None,
    markdown: Path | None,
    as_json: bool,
) -> int:
    """Compare two finished builds: RUN_A is the one to hold on to, RUN_B the new one.

    Each is the output folder of a build, or its metrics.json; of builds with tiers, each tier is compared. Exit code 1
    when a limit is passed; without limits the table is only shown. Answer times of two machines cannot be compared.

    \b
    Example:
      tfpwl diff runs/main runs/branch --max-drop 0.5
      tfpwl diff main.json runs/my --max-drop 0.5 --max-bytes-growth 5 --markdown diff.md
    """
    from tfpwl.report.comparison import compare_reports, comparison_sheet, failures, pair_reports  # noqa: PLC0415
    from tfpwl.report.reading import read_reports  # noqa: PLC0415
    from tfpwl.report.sheets import markdown_table, rich_table  # noqa: PLC0415

    found = [
        compare_reports(
            *pair, max_drop=max_drop, max_bytes_growth=max_bytes_growth, max_latency_growth=max_latency_growth
        )
        for pair in pair_reports(read_reports(before), read_reports(after))
    ]
    sheets = [comparison_sheet(one) for one in found]
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found], indent=1, sort_keys=True))
    else:
        stdout_console().print(*map(rich_table, sheets))
    if markdown is not None:
        markdown.write_text("\n\n".join(map(markdown_table, sheets)) + "\n", encoding="utf-8")
    for one in found:
        for gate in one.newly_failed:
            click.echo(f"Note: the gate {gate} held in {one.before} and fails in {one.after}.", err=True)
        for sentence in failures(one):
            click.echo(f"Worse than allowed: {one.after}, {sentence}", err=True)
    return 0 if all(one.passed for one in found) else 1


def _plain(found: Comparison) -> dict[str, Any]:
    growths = [{**asdict(one), "loss": one.loss, "passed": one.passed} for one in found.growths]
    return {**asdict(found), "growths": growths, "passed": found.passed}
