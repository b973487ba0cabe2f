"""``tfpwl build`` and the commands that run a pipeline up to one of its stages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tfpwl.cli.progress import BuildProgress, stderr_console

_STAGE_NAMES = ("train", "condense", "distill", "export", "quantize", "evaluate")


def pipeline_options(function: Callable[..., Any], metavar: str = "PIPELINE") -> Callable[..., Any]:
    """The argument (shown as ``metavar``) and options that all commands on a pipeline have."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
        click.option("--from", "start", type=click.Choice(_STAGE_NAMES), help="Run this stage and all after it again."),
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. distill.epochs=5."
        ),
        click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for everything. [runs/NAME]"),
        click.argument("pipeline", metavar=metavar, type=click.Path(path_type=Path)),
    ):
        function = option(function)
    return function


def run_pipeline(pipeline: Path, output: Path | None, overrides: tuple[str, ...], until: str, start: str | None) -> Any:
    """Load the pipeline and build it with bars on stderr."""
    from tfpwl.config import load_config  # noqa: PLC0415
    from tfpwl.pipeline import build as build_pipeline  # noqa: PLC0415

    # So that `data: {python: my_data:load}` finds my_data.py beside the YAML, as relative paths are found.
    sys.path.insert(0, str(pipeline.resolve().parent))
    config = load_config(pipeline, overrides)
    with BuildProgress(stderr_console()) as reporter:
        return build_pipeline(config, output, until=until, start=start, reporter=reporter)


@click.command()
@pipeline_options
def build(pipeline: Path, output: Path | None, overrides: tuple[str, ...], start: str | None, as_json: bool) -> int:
    """Run a whole pipeline: teacher, student, files, precision, accuracy of the mixes, bundle, report, gates.

    Stages whose artifacts are there already are not run again; a run that was interrupted goes on after its last
    epoch. Exit code 1 when a gate fails (the report is written all the same).

    \b
    Example:
      tfpwl build pipelines/digits_resnet.yaml
      tfpwl build my.yaml -o out --set distill.epochs=20 --from distill
    """
    result = run_pipeline(pipeline, output, overrides, "evaluate", start)
    report, root = result.report, result.output
    if as_json:
        click.echo(report.to_json(), nl=False)
    else:
        from tfpwl.report import mixes_table, path_table, rungs_table, summary_table  # noqa: PLC0415

        console = Console(highlight=False)
        ladder = [rungs_table(report)] if report.rungs else []
        console.print(path_table(report), mixes_table(report), *ladder, summary_table(report))
        console.print(f"bundle  {root / 'bundle'}\nreport  {root / 'report.md'}\nfigure  {root / 'accuracy_path.png'}")
    for gate in report.gates:
        if not gate.passed:
            click.echo(f"Gate failed: {gate.name}: {gate.message}", err=True)
    return 0 if report.passed else 1


def _stage_command(stage: str, what: str, help_text: str) -> click.Command:
    def command(
        pipeline: Path, output: Path | None, overrides: tuple[str, ...], start: str | None, as_json: bool
    ) -> None:
        result = run_pipeline(pipeline, output, overrides, stage, start)
        metrics = {k: v for k, v in result.metrics[stage].items() if k != "epochs"}
        if as_json:
            artifact = str(result.artifacts[stage])
            click.echo(json.dumps({"stage": stage, "artifact": artifact, **metrics}, sort_keys=True))
        else:
            click.echo(f"{what}: {result.artifacts[stage]}")

    example = f"\b\nExample:\n  tfpwl {stage} pipelines/digits_resnet.yaml"
    return click.command(name=stage, help=f"{help_text}\n\n{example}")(pipeline_options(command))


train = _stage_command("train", "teacher", "Train the teacher of a pipeline.")
distill = _stage_command("distill", "pair", "Train teacher and student of a pipeline (what is there is kept).")
export = _stage_command("export", "files", "Run a pipeline up to the .tflite files of its groups.")
