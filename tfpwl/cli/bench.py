"""``tfpwl bench``: how fast a bundle starts, answers and upgrades here, against models in one piece."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from tfpwl.cli.arguments import bundle_argument, open_bundle, stdout_console
from tfpwl.cli.progress import bars

if TYPE_CHECKING:
    from tfpwl.bench.demands import Demand
    from tfpwl.bench.results import BenchResult
    from tfpwl.bench.run import OnProgress

_FILE = click.Path(path_type=Path)


class _HereOrOnPhones(click.Command):
    """``--android`` among the arguments makes it another command, with arguments and options of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if any(argument.partition("=")[0] == "--android" for argument in args):
            from tfpwl.cli.bench_android import bench_android  # noqa: PLC0415

            return bench_android.make_context(info_name, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_HereOrOnPhones)
@bundle_argument
@click.option("--rivals", is_flag=True, help="Measure the models in one piece, too, in turn with the bundle.")
@click.option("--one-piece-teacher", type=_FILE, metavar="FILE",
              help="The whole teacher at the bundle's precision. [beside the bundle: rivals/]")  # fmt: skip
@click.option("--one-piece-student", type=_FILE, metavar="FILE",
              help="The whole student at the bundle's precision. [beside the bundle: rivals/]")  # fmt: skip
@click.option(
    "--repeats", default=20, show_default=True, type=click.IntRange(min=1), help="Fresh processes per figure."
)
@click.option("--engine", type=click.Choice(["litert", "interpreter", "litert-gpu"]),
              help="What runs files: LiteRT on CPU or GPU, or the Interpreter. [the best one on the CPU]")  # fmt: skip
@click.option("--only", type=click.Choice(["warm", "cold"]), help="Only warm, or only cold starts and upgrades.")
@click.option("--steady", default=1.0, show_default=True, type=click.FloatRange(min=0), metavar="SECONDS",
              help="Answering time per subject and process, everything loaded.")  # fmt: skip
@click.option("--threads-asking", default=8, show_default=True, type=click.IntRange(min=0),
              help="Threads that ask while the mix changes; 0 leaves that out.")  # fmt: skip
@click.option("--rounds", default=1000, show_default=True, type=click.IntRange(min=0),
              help="Upgrades and downgrades to watch the memory; 0 leaves that out.")  # fmt: skip
@click.option("--teacher-limit", default=0.4, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="Demanded: create + first answer at most this much of the one-piece teacher's.")  # fmt: skip
@click.option("--check", is_flag=True, help="Exit with 1 if a demand is not met.")
@click.option("--figure", type=_FILE, help="Draw accuracy and answer times of the first moments into this PNG.")
@click.option("--markdown", type=_FILE, help="Write the tables as Markdown.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write every figure as JSON; - for stdout.")
def bench(
    bundle: Path,
    *,
    rivals: bool,
    one_piece_teacher: Path | None,
    one_piece_student: Path | None,
    repeats: int,
    engine: str | None,
    only: str | None,
    steady: float,
    threads_asking: int,
    rounds: int,
    teacher_limit: float,
    check: bool,
    figure: Path | None,
    markdown: Path | None,
    json_file: Path | None,
) -> int:
    """Measure a bundle on this machine; with --android on phones, see tfpwl bench --android --help.

    Create, first answer and both together, memory and bytes read, each in a fresh process, warm and with the files
    out of the page cache; time per answer; every answer while the bundle upgrades; many threads asking; memory over
    many upgrades. With --rivals the same for the teacher in one piece (also with a warm XNNPACK cache, at fp32 and
    by the Interpreter) and the student in one piece, in turn with the bundle. They are looked for beside the bundle as
    rivals/teacher.PRECISION.tflite, rivals/student.PRECISION.tflite and rivals/teacher.fp32.tflite, or as what a build
    left under stages/. Have the machine for yourself.

    \b
    Example:
      tfpwl bench runs/digits_resnet/bundle --rivals
      tfpwl bench bundles/fp32 --rivals --json out.json --markdown out.md --figure out.png --check
      tfpwl bench bundles/fp32 --repeats 3 --rounds 0 --json -
      tfpwl bench --android all bundles/fp32
    """
    from tfpwl.bench.demands import check_demands  # noqa: PLC0415
    from tfpwl.bench.rivals import find_rivals  # noqa: PLC0415
    from tfpwl.bench.run import BenchOptions, run_bench  # noqa: PLC0415

    opened = open_bundle(bundle)
    found = None
    if rivals or one_piece_teacher or one_piece_student:
        found = find_rivals(opened, one_piece_teacher, one_piece_student)
        missing = [name for name, file in (("teacher", found.teacher), ("student", found.student)) if file is None]
        if len(missing) == 2:
            raise click.UsageError(
                f"There is no {opened.root.parent / 'rivals'} with models in one piece; give --one-piece-teacher and "
                "--one-piece-student."
            )
        for name in missing:
            click.echo(f"Note: no {name} in one piece beside the bundle; it is left out.", err=True)
    options = BenchOptions(
        repeats=repeats, engine=engine, cold=only != "warm", warm=only != "cold", steady_s=steady,
        crowd=threads_asking, rounds=rounds,
    )  # fmt: skip
    with _Watch() as on_progress:
        result = run_bench(opened, found, options, on_progress=on_progress)
    demands = check_demands(result, of_teacher=teacher_limit)
    _write(result, demands, figure, markdown, json_file)
    return 1 if check and not all(demand.met for demand in demands) else 0


class _Watch:
    """A bar on stderr that names what is being measured."""

    def __enter__(self) -> OnProgress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # One redraw a second: drawing takes processor time from what is measured.
        self._progress = bars(*columns, refresh_per_second=1)
        self._progress.start()
        task = self._progress.add_task("measuring", total=None)

        def on_progress(done: int, total: int, what: str) -> None:
            self._progress.update(task, completed=done, total=total, description=what)

        return on_progress

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _write(
    result: BenchResult, demands: tuple[Demand, ...], figure: Path | None, markdown: Path | None, json_file: Path | None
) -> None:
    from tfpwl.report.bench_sheets import bench_sheets, describe_run  # noqa: PLC0415
    from tfpwl.report.sheets import markdown_table, rich_table  # noqa: PLC0415

    sheets = bench_sheets(result, demands)
    if json_file is not None:
        fields = json.loads(result.to_json())
        fields["demands"] = [{**asdict(demand), "met": demand.met} for demand in demands]
        text = json.dumps(fields, sort_keys=True, indent=1) + "\n"
        if str(json_file) == "-":
            click.echo(text, nl=False)
        else:
            json_file.write_text(text, encoding="utf-8")
    if markdown is not None:
        notes = [f"Note: {note}" for note in result.notes]
        markdown.write_text(
            "\n\n".join([describe_run(result), *map(markdown_table, sheets), *notes]) + "\n", encoding="utf-8"
        )
    if figure is not None:
        from tfpwl.report.bench_figure import plot_first_moments  # noqa: PLC0415

        plot_first_moments(figure, result)
    if str(json_file) != "-":
        console = stdout_console()
        for sheet in sheets:
            console.print(rich_table(sheet))
        console.print(describe_run(result), soft_wrap=True)
    for note in result.notes:
        click.echo(f"Note: {note}", err=True)
