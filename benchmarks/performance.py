"""Runs the whole benchmark of docs/performance.md and writes its tables.

    python benchmarks/make_bundles.py FOLDER
    python benchmarks/performance.py FOLDER [--repeats 20] [--quick] [--again] [--render]

Measures the bundles that make_bundles.py wrote, one after another, each with its rivals in the same run, and the
ladder; leaves `FOLDER/results/NAME.json` per bundle as soon as it is done, and goes on from there when it is started
again. Then it puts the tables between the two `measured` marks of docs/performance.md and a picture beside it. About
40 minutes on two cores, on which nothing else should run. Exit code 1 if a demand is not met; the tables say which.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tfpwl.bench.demands import Demand
    from tfpwl.bench.ladder import LadderResult
    from tfpwl.bench.results import BenchResult
    from tfpwl.report.sheets import Sheet

# Create + first answer at most this much of the one-piece teacher's.
OF_TEACHER = {"resnet-cifar": 0.4, "resnet50": 0.2}
# Of ResNet-50 in fp32 they take 6 minutes.
ROUNDS = 1000
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FIGURE = "performance.png"


def measure(folder: Path, name: str, precision: str, repeats: int, quick: bool) -> BenchResult:
    from tfpwl.bench.rivals import find_rivals
    from tfpwl.bench.run import BenchOptions, run_bench
    from tfpwl.bundle import Bundle

    bundle = Bundle.open(folder / name / precision)
    options = BenchOptions(repeats=repeats, rounds=ROUNDS)
    if quick:
        options = BenchOptions(repeats=repeats, rounds=4, steady_s=0.05, crowd_upgrades=1)
    return run_bench(bundle, find_rivals(bundle), options, on_progress=report)


def measure_ladder(folder: Path, repeats: int) -> LadderResult:
    from tfpwl.bench.ladder import measure_ladder
    from tfpwl.bundle import Bundle

    cuts = sorted(path for path in (folder / "ladder").iterdir() if path.name.isdigit())
    whole = cuts[0] / "rivals" / "teacher.fp32.tflite"
    bundles = [Bundle.open(cut / "fp32") for cut in cuts]
    return measure_ladder(bundles, whole, repeats=repeats, on_progress=lambda a, b: report(a, b, "ladder"))


def report(done: int, total: int, what: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{done}/{total} {what}", nl=done == total, err=True)
    elif done % 50 == 0:
        click.echo(f"{done}/{total} {what}", err=True)


def sections(results: Sequence[BenchResult], ladder: LadderResult | None) -> Iterator[tuple[str, Sheet]]:
    """(heading or empty, table) of everything that was measured, the demands first."""
    from tfpwl.report.bench_sheets import bench_sheets, demand_sheet, ladder_sheet

    for result in results:
        yield "Demands", demand_sheet(result.name, demands_of(result))
    if ladder is not None:
        from tfpwl.bench.demands import ladder_demands

        yield "Demands", demand_sheet("ladder", ladder_demands(ladder))
    for result in results:
        for sheet in bench_sheets(result):
            yield result.name, sheet
    if ladder is not None:
        yield "Ladder", ladder_sheet(ladder)


def demands_of(result: BenchResult) -> tuple[Demand, ...]:
    from tfpwl.bench.demands import check_demands

    return check_demands(result, of_teacher=OF_TEACHER[result.name.rpartition("-")[0]])


def render(results: Sequence[BenchResult], ladder: LadderResult | None, command: str) -> str:
    """The measured part of docs/performance.md."""
    from tfpwl.report.bench_sheets import describe_run
    from tfpwl.report.sheets import markdown_table

    parts, last = [f"Measured by `{command}`.", f"![The first moments of a start]({FIGURE})"], ""
    for heading, sheet in sections(results, ladder):
        if heading != last:
            parts.append(f"## {heading}")
            parts += [_about(result, describe_run(result)) for result in results if result.name == heading]
            last = heading
        parts.append(markdown_table(sheet))
    return "\n\n".join(parts)


def _about(result: BenchResult, run: str) -> str:
    same = ", ".join(f"{pair}: {difference:.1e}" for pair, difference in result.differences.items())
    return "\n".join([run, *(["Largest difference of the answers, " + same + "."] if same else []), *result.notes])


def write_docs(path: Path, measured: str) -> None:
    """Put the tables between the marks; what stands around them stays."""
    text = path.read_text()
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise click.ClickException(f"{path} has not both marks, {BEGIN} and {END}.")
    path.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}")


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--repeats", default=20, show_default=True, help="fresh processes per figure")
@click.option("--quick", is_flag=True, help="a minute per bundle, to see that it works; no figures for a table")
@click.option("--again", is_flag=True, help="measure anew what is there")
@click.option("--render", "only_render", is_flag=True, help="measure nothing, write the tables of what is there")
@click.option("--docs", type=click.Path(path_type=Path), default=Path(__file__).parents[1] / "docs" / "performance.md")
def main(folder: Path, *, repeats: int, quick: bool, again: bool, only_render: bool, docs: Path) -> None:
    from tfpwl.bench.demands import ladder_demands
    from tfpwl.bench.ladder import LadderResult, LadderStep
    from tfpwl.bench.results import BenchResult
    from tfpwl.report.bench_figure import plot_first_moments

    store = folder / ("quick" if quick else "results")
    store.mkdir(exist_ok=True)
    repeats = min(repeats, 2) if quick else repeats
    results = []
    for name in OF_TEACHER:
        for precision in ("fp32", "int8"):
            file = store / f"{name}-{precision}.json"
            if not only_render and (folder / name / precision).is_dir() and (again or not file.exists()):
                _store(file, measure(folder, name, precision, repeats, quick).to_json())
            if file.exists():
                results.append(BenchResult.from_json(file.read_bytes()))
            else:
                click.echo(f"There is no {folder / name / precision}; it is left out.", err=True)
    file, ladder = store / "ladder.json", None
    if not only_render and (folder / "ladder").is_dir() and (again or not file.exists()):
        _store(file, json.dumps(asdict(measure_ladder(folder, repeats)), indent=1))
    if file.exists():
        fields = json.loads(file.read_text())
        ladder = LadderResult(**{**fields, "steps": tuple(LadderStep(**step) for step in fields["steps"])})
    if not results:
        raise click.ClickException(f"Nothing is measured in {folder}; run benchmarks/make_bundles.py {folder} first.")
    command = shlex.join(["python", "benchmarks/performance.py", "FOLDER", "--repeats", str(results[0].repeats)])
    write_docs(docs, render(results, ladder, command))
    plot_first_moments(docs.parent / FIGURE, results[-1])
    click.echo(f"Written: {docs} and {docs.parent / FIGURE}")
    demands = [(result.name, demand) for result in results for demand in demands_of(result)]
    demands += [("ladder", demand) for demand in (ladder_demands(ladder) if ladder else ())]
    missed = [(name, demand) for name, demand in demands if not demand.met]
    for name, demand in missed:
        found = f"{demand.value:.4g} {demand.unit}, limit {demand.limit:.4g}"
        seldom = "" if demand.enough else " (measured too seldom)"
        click.echo(f"Not met: {name}: {demand.name}: {found}{seldom}", err=True)
    click.echo(f"{len(demands) - len(missed)} of {len(demands)} demands are met.")
    sys.exit(bool(missed))


def _store(file: Path, text: str) -> None:
    part = file.with_suffix(".partial")
    part.write_text(text)
    part.replace(file)


if __name__ == "__main__":
    main()
