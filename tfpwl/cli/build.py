"""``tfpwl build`` and the commands that run a pipeline up to one of its stages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tfpwl.cli.arguments import given_command
from tfpwl.cli.progress import BuildProgress, stderr_console

_STAGE_NAMES = ("train", "condense", "distill", "prune", "finetune", "export", "quantize", "evaluate")


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


def run_pipeline(
    pipeline: Path,
    output: Path | None,
    overrides: tuple[str, ...],
    until: str,
    start: str | None,
    *,
    logs: tuple[str, ...] = (),
    workers: Any = None,
) -> Any:
    """Load the pipeline and build it with bars on stderr, and with ``logs`` for other tools."""
    from tfpwl.pipeline import build as build_pipeline  # noqa: PLC0415

    config = _load(pipeline, overrides)
    if until == "evaluate" and config.tiers:  # what is built would be none of them
        raise click.UsageError(f"{pipeline} has `tiers:`; `tfpwl build {pipeline}` builds, measures and judges them.")
    with _watching(config, logs) as (reporter, run_logs):
        result = build_pipeline(
            config, output, until=until, start=start, reporter=reporter, command=given_command(), workers=workers
        )  # fmt: skip
        if result.report is not None:
            for log in run_logs:
                log.reported(result.report, result.output)
    return result


def _load(pipeline: Path, overrides: tuple[str, ...]) -> Any:
    from tfpwl.config import load_config  # noqa: PLC0415

    # So that `data: {python: my_data:load}` finds my_data.py beside the YAML, as relative paths are found.
    sys.path.insert(0, str(pipeline.resolve().parent))
    return load_config(pipeline, overrides)


@contextmanager
def _watching(config: Any, logs: tuple[str, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """A reporter that draws bars and feeds the logs, and the logs, which take reports, too."""
    from tfpwl.pipeline.tracking import Together, open_logs  # noqa: PLC0415

    with BuildProgress(stderr_console()) as progress, open_logs(logs, config) as run_logs:
        yield Together((progress, *run_logs)), run_logs


@contextmanager
def _workers(engine: str | None, count: int | None, address: str | None) -> Iterator[Any]:
    """Other processes that train, or None where no engine is asked for."""
    if engine is None:
        if count is not None or address is not None:
            raise click.UsageError("--workers needs --engine local, and --address needs --engine ray.")
        yield None
        return
    from tfpwl.pipeline.workers import make_workers  # noqa: PLC0415

    with make_workers(engine, count=count, address=address) as workers:
        yield workers


@click.command()
@pipeline_options
@click.option("--tier", "tiers", multiple=True, metavar="NAME",
              help="Build this tier of the pipeline's `tiers:`; may be given more than once. [all]")  # fmt: skip
@click.option("--engine", type=click.Choice(["local", "ray"]),
              help="Train and export in several processes at once: of this machine, or of a Ray cluster.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1),
              help="Processes of --engine local. [as processors and memory allow]")  # fmt: skip
@click.option("--address", metavar="HOST:PORT|auto", help="The cluster of --engine ray. [one is started here]")
@click.option("--log", "logs", multiple=True, metavar="tensorboard:DIR|mlflow:URI",
              help="Log losses, figures and report there, too.")  # fmt: skip
def build(
    *,
    pipeline: Path,
    output: Path | None,
    overrides: tuple[str, ...],
    start: str | None,
    as_json: bool,
    tiers: tuple[str, ...],
    engine: str | None,
    workers: int | None,
    address: str | None,
    logs: tuple[str, ...],
) -> int:
    """Run a whole pipeline: teacher, student, files, precision, accuracy of the mixes, bundle, report, gates.

    Stages whose artifacts are there already are not run again; a run that was interrupted goes on after its last
    epoch. Exit code 1 when a gate fails (the report is written all the same).

    A pipeline with `tiers:` gives a bundle per tier in bundles/<tier>, a report per tier in reports/<tier>, and
    tiers.json, by which a device chooses. What tiers share runs once. A tier with `search: latency` becomes the most
    accurate of many trials that keeps its limits (pip install 'tfpwl[search]'; search-<tier>.md has them); trials that
    cannot keep them are not trained. Exit code 1, with the nearest trial, where none does.

    \b
    Example:
      tfpwl build pipelines/digits_resnet.yaml
      tfpwl build my.yaml -o out --set distill.epochs=20 --from distill
      tfpwl build pipelines/digits_tiers.yaml
      tfpwl build pipelines/digits_tiers.yaml --tier low --tier mid
      tfpwl build my.yaml --set tiers=default --tier low
      tfpwl build pipelines/digits_tiers.yaml --tier low --set tiers.low.search=latency
      tfpwl build pipelines/digits_tiers.yaml --engine local --workers 2
      tfpwl build pipelines/digits_tiers.yaml --engine ray --address 10.0.0.1:6379
    """
    if tiers or _load(pipeline, overrides).tiers:
        with _workers(engine, workers, address) as others:
            return _build_tiers(
                pipeline, output, overrides=overrides, start=start, as_json=as_json, tiers=tiers, logs=logs,
                workers=others,
            )  # fmt: skip
    with _workers(engine, workers, address) as others:
        result = run_pipeline(pipeline, output, overrides, "evaluate", start, logs=logs, workers=others)
    report, root = result.report, result.output
    if as_json:
        click.echo(report.to_json(), nl=False)
    else:
        from tfpwl.report import mixes_table, path_table, rungs_table, summary_table  # noqa: PLC0415

        console = Console(highlight=False)
        ladder = [rungs_table(report)] if report.rungs else []
        console.print(path_table(report), mixes_table(report), *ladder, summary_table(report))
        console.print(f"bundle  {root / 'bundle'}\nreport  {root / 'report.html'}")
    _tell_failures(report)
    return 0 if report.passed else 1


def _build_tiers(
    pipeline: Path,
    output: Path | None,
    *,
    overrides: tuple[str, ...],
    start: str | None,
    as_json: bool,
    tiers: tuple[str, ...],
    logs: tuple[str, ...],
    workers: Any,
) -> int:
    from tfpwl.pipeline import build_tiers  # noqa: PLC0415
    from tfpwl.report import rich_table, tiers_sheet  # noqa: PLC0415

    config = _load(pipeline, overrides)
    with _watching(config, logs) as (reporter, run_logs):
        result = build_tiers(
            config, output, tiers=tiers, start=start, reporter=reporter, command=given_command(), workers=workers
        )  # fmt: skip
        for tier in result.tiers.values():
            for log in run_logs:
                log.reported(tier.report, tier.folder)
    if as_json:
        reports = {name: json.loads(tier.report.to_json()) for name, tier in result.tiers.items()}
        click.echo(json.dumps({"tiers": reports}, sort_keys=True))
    else:
        Console(highlight=False).print(rich_table(tiers_sheet(config.name, result.records, shares=False)))
        for name, tier in result.tiers.items():
            click.echo(f"{name:<8} {tier.bundle.root}")
        click.echo(f"choice   {result.output / 'tiers.json'}\nreport   {result.output / 'report.html'}")
    for name, tier in result.tiers.items():
        _tell_failures(tier.report, f" of tier {name}")
    return 0 if result.passed else 1


def _tell_failures(report: Any, whose: str = "") -> None:
    for gate in report.gates:
        if not gate.passed:
            click.echo(f"Gate failed{whose}: {gate.name}: {gate.message}", err=True)


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
