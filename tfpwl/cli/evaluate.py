"""``tfpwl evaluate``: accuracy of mixes, as a stage of a pipeline or of a finished bundle on any data."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tfpwl.cli.arguments import open_bundle, stdout_console
from tfpwl.cli.build import pipeline_options, run_pipeline
from tfpwl.cli.progress import bars

if TYPE_CHECKING:
    from tfpwl.bundle import Bundle
    from tfpwl.evaluate import MixResult
    from tfpwl.mix import Mix
    from tfpwl.report import BuildReport

# 1,024 mixes; a bundle of more groups than this names the mixes that matter.
_MAX_GROUPS_FOR_ALL = 10


@click.command()
@functools.partial(pipeline_options, metavar="PIPELINE.yaml|BUNDLE")
@click.option("--data", help="With BUNDLE: digits, fashion_mnist, …, a folder of images, or a .npz.")
@click.option("--mixes", metavar="all|path|MIX,…", help="With BUNDLE: which mixes. [all, if it has at most 6 groups]")
def evaluate(
    *,
    pipeline: Path,
    output: Path | None,
    overrides: tuple[str, ...],
    start: str | None,
    as_json: bool,
    data: str | None,
    mixes: str | None,
) -> int:
    """Measure the accuracy of mixes.

    Through the .tflite files. With a pipeline: run it up to its last stage, as `tfpwl build` does, and print all
    mixes. With the folder of a
    bundle: measure it on --data, preprocessed as the bundle's manifest says. A data set gives its test images; a
    folder gives `test/` if there is one, and otherwise the fifth of its images that a pipeline keeps for testing.

    \b
    Example:
      tfpwl evaluate pipelines/digits_resnet.yaml
      tfpwl evaluate runs/digits_resnet/bundle --data digits
      tfpwl evaluate runs/my/bundle --data photos/ --mixes SSSS,TTTT --json
    """
    if pipeline.is_dir() or data is not None or mixes is not None:
        if output is not None or overrides or start is not None:
            raise click.UsageError("-o, --set and --from belong to a pipeline; received the bundle " + str(pipeline))
        if data is None:
            raise click.UsageError("A bundle needs --data: digits, fashion_mnist, …, a folder of images, or a .npz.")
        _evaluate_bundle(pipeline, data, mixes, as_json)
        return 0
    return _evaluate_pipeline(run_pipeline(pipeline, output, overrides, "evaluate", start).report, as_json)


def _evaluate_pipeline(report: BuildReport, as_json: bool) -> int:
    from tfpwl.report import mixes_table  # noqa: PLC0415

    if as_json:
        click.echo(report.to_json(), nl=False)
    else:
        stdout_console().print(mixes_table(report))
    for gate in report.gates:
        if not gate.passed:
            click.echo(f"Gate failed: {gate.name}: {gate.message}", err=True)
    return 0 if report.passed else 1


def _evaluate_bundle(path: Path, source: str, mixes: str | None, as_json: bool) -> None:
    from tfpwl.cli.bundle_data import load_bundle_data  # noqa: PLC0415
    from tfpwl.evaluate import evaluate_mixes  # noqa: PLC0415

    bundle = open_bundle(path)
    chosen = _parse_mixes(mixes, bundle)
    data = load_bundle_data(source, bundle)
    if data.y is None:
        raise click.UsageError(
            f"--data {source} has no labels, so there is no accuracy to measure. `tfpwl run` answers images without."
        )
    with bars(TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task("", total=len(data))
        results = evaluate_mixes(
            bundle, data.x, data.y, chosen, raw=True,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(_as_json(bundle, source, len(data), results), indent=1, sort_keys=True))
    else:
        stdout_console().print(_table(bundle, source, len(data), results))


def _parse_mixes(text: str | None, bundle: Bundle) -> tuple[Mix, ...] | None:
    from tfpwl.mix import all_mixes, path  # noqa: PLC0415

    manifest = bundle.manifest
    if text is None:
        return None
    if text == "path":
        return path(manifest.order)
    if text == "all":
        if manifest.num_groups > _MAX_GROUPS_FOR_ALL:
            raise click.BadParameter(f"{manifest.num_groups} groups have too many mixes; name some, or say path")
        return all_mixes(manifest.num_groups)
    try:
        return tuple(manifest.check_mix(mix.strip()) for mix in text.split(","))
    except ValueError as exc:
        raise click.BadParameter(f"{exc} Say all, path, or mixes with commas between them.") from exc


def _as_json(bundle: Bundle, source: str, num_images: int, results: Mapping[Mix, MixResult]) -> dict[str, Any]:
    mixes = {
        str(mix): {
            "accuracy": r.accuracy, "correct": r.correct, "total": r.total, "bytes": bundle.mix_bytes(mix),
            "on_path": mix in _path_accuracy(bundle),
        }
        for mix, r in results.items()
    }  # fmt: skip
    return {"bundle": str(bundle.root), "data": source, "num_images": num_images, "mixes": mixes}


def _path_accuracy(bundle: Bundle) -> dict[Mix, float | None]:
    return {entry.mix: entry.accuracy for entry in bundle.manifest.path}


def _table(bundle: Bundle, source: str, num_images: int, results: Mapping[Mix, MixResult]) -> Table:
    from tfpwl.cli.rendering import mix_text  # noqa: PLC0415
    from tfpwl.report import units  # noqa: PLC0415

    built = _path_accuracy(bundle)
    title = f"{bundle.manifest.name} on {num_images:,} images of {source}"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", show_footer=False)
    for index, column in enumerate(("mix", "accuracy", "right", "files", "when built")):
        table.add_column(column, justify="right" if index else "left")
    for mix, result in results.items():
        size = units.byte_size(bundle.mix_bytes(mix))
        before = units.percent(built[mix]) if mix in built else ""
        row = (mix_text(mix), units.percent(result.accuracy), f"{result.correct:,}", size, before)
        table.add_row(*row, style="bold" if mix in built else "dim")
    return table
