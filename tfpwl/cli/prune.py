"""``tfpwl prune``: a smaller Keras model from a file."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table

from tfpwl.cli.arguments import json_option, stdout_console
from tfpwl.cli.progress import stderr_console
from tfpwl.errors import ModelError

if TYPE_CHECKING:
    from tfpwl.prune import PrunePlan, PruneReport

_RATIO = 0.5


@click.command()
@click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .keras file to write.")
@click.option("--ratio", type=float, help=f"Share of the target to remove, below 1.  [default: {_RATIO}]")
@click.option(
    "--importance", type=click.Choice(["l1", "l2", "bn_scale", "random"]), default="l2", show_default=True,
    help="How channels are ranked. Taylor importance needs data: use tfpwl.prune from Python.",
)  # fmt: skip
@click.option(
    "--target", default="flops", show_default=True, metavar="KIND[=RATIO]",
    help="What is to shrink: flops, params, channels, bytes (of the .tflite file) or latency (of an answer on this "
    "machine, measured), and with =RATIO by how much: bytes=0.6 removes 60 %.",
)  # fmt: skip
@click.option(
    "--ranking", type=click.Choice(["global", "layer"]), default="global", show_default=True,
    help="Compare channels of all layers, or take the same share of each.",
)  # fmt: skip
@click.option("--round-to", type=int, default=8, show_default=True, help="Channel counts become multiples of it.")
@click.option("--keep", multiple=True, metavar="LAYER", help="A layer whose channels stay; may be repeated.")
@click.option("--force", is_flag=True, help="Replace OUTPUT if it is there.")
@json_option("the report")
def prune(
    *, model: Path, output: Path, ratio: float | None, importance: str, target: str, ranking: str, round_to: int,
    keep: tuple[str, ...], force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Remove whole channels from MODEL and write a smaller model.

    MODEL is a functional Keras model, .keras or a legacy .h5. The result has the same layer names, loads in plain Keras
    and wants fine-tuning: its accuracy is lower until it is trained again.

    \b
    Example:
      tfpwl prune my_model.keras --ratio 0.5 -o smaller.keras
      tfpwl prune my_model.keras --target bytes=0.6 -o smaller.keras
      tfpwl prune my_model.keras --ratio 0.3 --target params --keep add_3 -o smaller.keras --json
    """
    if output.suffix != ".keras":
        raise ModelError(f"Received the output {output}; expected a name that ends in .keras.")
    if output.exists() and not force:
        raise ModelError(f"{output} is there already; give --force to replace it, or another name.")
    with stderr_console().status("pruning"):
        from tfpwl.models import load_functional  # noqa: PLC0415 - Keras takes seconds to import
        from tfpwl.prune import carve  # noqa: PLC0415

        whole = load_functional(model)
        options = {"importance": importance, "ranking": ranking, "round_to": round_to, "keep": keep}
        plan, measured = _plan(whole, target, ratio, options)
        _save(carve(whole, plan), output)
    if as_json:
        report = {
            **asdict(plan.report),
            "measured": measured,
            "kept": {layer: len(kept) for layer, kept in plan.report.kept.items()},
        }
        click.echo(json.dumps({"model": str(model), "output": str(output), **report}, indent=1, sort_keys=True))
    else:
        _print(plan.report, target, measured, output)


def _plan(whole: Any, target: str, ratio: float | None, options: dict[str, Any]) -> tuple[PrunePlan, float | None]:
    """The plan, and the share of bytes or time that it takes away where that is the target."""
    from tfpwl.prune import Target, plan_target  # noqa: PLC0415 - Keras takes seconds to import

    if "=" in target and ratio is not None:
        raise click.UsageError(f"Give the ratio once: --target {target} or --ratio {ratio:g}.")
    wanted = Target.parse(target) if "=" in target else Target(target, _RATIO if ratio is None else ratio)
    if wanted.kind not in ("bytes", "latency"):
        return plan_target(whole, wanted, **options)
    from tfpwl.export import export_model  # noqa: PLC0415 - imports TensorFlow

    return plan_target(whole, wanted, export=export_model, **options)


def _save(model: Any, output: Path) -> None:
    """Write beside the target and rename, so that a run killed half-way leaves no broken file."""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        partial = Path(folder) / "model.keras"
        model.save(partial)
        os.replace(partial, output)


def _print(report: PruneReport, target: str, measured: float | None, output: Path) -> None:
    console = stdout_console()
    table = Table(box=box.SIMPLE_HEAD)
    for index, column in enumerate(("", "before", "after", "left")):
        table.add_column(column, justify="right" if index else "left")
    for what, before, after in (
        ("MFLOPs", report.flops_before, report.flops_after), ("parameters", report.params_before, report.params_after),
    ):  # fmt: skip
        if before is not None and after is not None:
            show = (lambda n: f"{n / 1e6:.2f}") if what == "MFLOPs" else (lambda n: f"{n:,}")
            table.add_row(what, show(before), show(after), f"{100 * after / max(before, 1):.1f} %")
    console.print(table)
    if measured is not None:
        kind = target.partition("=")[0]
        how = "of the .tflite file" if kind == "bytes" else "measured in turn with the whole model; it varies"
        console.print(f"{kind}: {100 * measured:.1f} % less ({how})", soft_wrap=True)
    pruned = [group for group in report.groups if group.after < group.before]
    console.print(f"{len(pruned)} of {len(report.groups)} channel groups were pruned; wrote {output}", soft_wrap=True)
    for closed in report.closed:
        console.print(f"kept whole: {closed.layer}: {closed.reason}", soft_wrap=True, markup=False)
