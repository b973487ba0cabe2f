"""``tfpwl cut``: where a Keras model can be cut into groups, and how heavy each would be."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table

from tfpwl.cli.arguments import json_option, stdout_console
from tfpwl.cli.progress import stderr_console
from tfpwl.report import units

if TYPE_CHECKING:
    from tfpwl.models import CutPlan


@click.command()
@click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
@click.option("--groups", type=int, help="Number of groups; the cuts are chosen that balance the bytes of weights.")
@click.option("--at", "cuts", multiple=True, metavar="LAYER", help="Cut after this layer instead; may be repeated.")
@click.option("--points", is_flag=True, help="List every place where the model can be cut.")
@json_option("the cuts, the groups and every cut point")
def cut(model: Path, groups: int | None, cuts: tuple[str, ...], points: bool, as_json: bool) -> None:
    """Show where MODEL can be cut into groups.

    MODEL is a functional Keras model, .keras or a legacy .h5, with one input and one output. Nothing is written: name
    the cuts in the pipeline.

    \b
    Example:
      tfpwl cut my_model.keras --groups 4
      tfpwl cut my_model.keras --at add_3 --at add_7 --json
    """
    if (groups is None) == (not cuts):
        raise click.UsageError("Give either --groups N or --at LAYER.")
    with stderr_console().status("reading the model"):
        from tfpwl.models import load_functional, plan_cuts  # noqa: PLC0415 - Keras takes seconds to import
        from tfpwl.prune import flops_by_layer  # noqa: PLC0415

        whole = load_functional(model)
        plan = plan_cuts(whole, groups, cuts or None, flops=flops_by_layer(whole))
    if as_json:
        click.echo(json.dumps({"model": str(model), **asdict(plan)}, indent=1, sort_keys=True))
        return
    _print(plan, points)


def _print(plan: CutPlan, points: bool) -> None:
    console = stdout_console()
    total = sum(group.bytes for group in plan.groups)
    table = Table(box=box.SIMPLE_HEAD)
    for index, column in enumerate(("group", "layers", "from", "to", "weights", "share", "MFLOPs", "output")):
        table.add_column(column, justify="right" if index in (1, 4, 5, 6) else "left")
    for number, group in enumerate(plan.groups):
        flops = "–" if group.flops is None else f"{group.flops / 1e6:.2f}"
        table.add_row(
            str(number), str(group.num_layers), group.first, group.last, units.byte_size(group.bytes),
            units.percent(group.bytes / total if total else 0.0), flops, _shape(group.output_shape),
        )  # fmt: skip
    console.print(table)
    if plan.cuts:
        console.print("cuts: [" + ", ".join(point.layer for point in plan.cuts) + "]", soft_wrap=True, markup=False)
    for warning in plan.warnings:
        console.print(warning, soft_wrap=True, markup=False)
    if points:
        for point in plan.points:
            click.echo(f"{point.layer}  {_shape(point.shape)}  {units.byte_size(point.bytes_before)} before it")


def _shape(shape: tuple[int | None, ...]) -> str:
    return "×".join("?" if size is None else str(size) for size in shape)
