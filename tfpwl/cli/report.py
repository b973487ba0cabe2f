"""``tfpwl report``: the page of finished builds, side by side."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", default=Path("report.html"), show_default=True, type=click.Path(path_type=Path),
              help="The page.")  # fmt: skip
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write the gates of all runs, too.")
@click.option("--title", help="Of the page. [the run's name, or their number]")
def report(runs: tuple[Path, ...], output: Path, junit: Path | None, title: str | None) -> int:
    """Draw one page of one or several finished builds.

    A RUN is the output folder of a build, with all tiers that are in it, or a metrics.json. The page holds everything
    it shows and opens anywhere, without a network.

    \b
    Example:
      tfpwl report runs/digits_tiers -o tiers.html
      tfpwl report runs/main runs/branch --title "main and branch"
    """
    from tfpwl.report.html import render_html  # noqa: PLC0415
    from tfpwl.report.junit import render_junit  # noqa: PLC0415
    from tfpwl.report.reading import read_reports  # noqa: PLC0415

    reports = [found for run in runs for found in read_reports(run)]
    output.write_text(render_html(reports, title=title), encoding="utf-8")
    if junit is not None:
        junit.write_text(render_junit(reports), encoding="utf-8")
    click.echo(f"{len(reports)} run{'s' if len(reports) > 1 else ''}: {output}")
    return 0
