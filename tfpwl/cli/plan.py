"""``tfpwl plan``: the load order whose accuracy grows fastest, and the best mix for a budget."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from tfpwl.cli.arguments import bundle_argument, json_option, open_bundle, stdout_console
from tfpwl.cli.plan_view import PlanView
from tfpwl.cli.progress import bars, stderr_console

if TYPE_CHECKING:
    from tfpwl.bundle import Bundle
    from tfpwl.mix import Mix

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


class _ByteSize(click.ParamType):
    """Bytes, as a number or with a unit: 900000, 900kB, 1.5MB, 2MiB."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(value))
        if found is None or found[2].lower() not in _UNITS:
            self.fail(f"received {value!r}; expected bytes such as 900000, 900kB, 1.5MB or 2MiB", param, ctx)
        return int(float(found[1]) * _UNITS[found[2].lower()])


@click.command()
@bundle_argument
@click.option("--data", metavar="DATA", help="What to measure on: digits, fashion_mnist, …, a folder, a .npz.")
@click.option("--metrics", type=click.Path(path_type=Path), help="A build's metrics.json, in place of --data.")
@click.option("--tolerance", default=0.0, show_default=True, metavar="POINTS", type=click.FloatRange(min=0),
              help="Percentage points that a step may lose.")  # fmt: skip
@click.option("--cost", type=click.Choice(["bytes", "time"]), default="bytes", show_default=True,
              help="What loading a file costs: its bytes, or its milliseconds measured here.")  # fmt: skip
@click.option("--budget", type=_ByteSize(), help="Also name the most accurate mix whose files fit, e.g. 12MB.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw the orders into this PNG.")
@click.option("--write", is_flag=True, help="Write the order and its measured path into the manifest.")
@json_option("the plan")
def plan(
    bundle: Path,
    *,
    data: str | None,
    metrics: Path | None,
    tolerance: float,
    cost: str,
    budget: int | None,
    figure: Path | None,
    write: bool,
    as_json: bool,
) -> int:
    """Find the load order of a bundle.

    The order with the largest area under accuracy against bytes loaded, among those whose path never falls by more
    than --tolerance. Up to 10 groups all mixes are measured and no other order is better; beyond, groups are chosen
    one by one. Where every order falls somewhere, the plan is the one with the smallest worst fall, and it says so.

    \b
    Example:
      tfpwl plan runs/digits_resnet/bundle --data digits
      tfpwl plan runs/digits_resnet/bundle --metrics runs/digits_resnet/metrics.json --write
      tfpwl plan runs/my/bundle --data photos/ --budget 12MB --figure orders.png --json
    """
    from tfpwl.evaluate import best_mix, describe_order, plan_order, simple_orders  # noqa: PLC0415
    from tfpwl.evaluate.order import entry_bytes  # noqa: PLC0415

    if (data is None) == (metrics is None):
        raise click.UsageError("Give either --data or --metrics: the accuracy of mixes has to come from somewhere.")
    opened = open_bundle(bundle)
    manifest = opened.manifest
    source = _FromData(opened, data) if data is not None else _FromMetrics(opened, metrics or Path())
    price = entry_bytes if cost == "bytes" else _load_times(opened)
    found = plan_order(manifest, source, tolerance=tolerance / 100, cost=price)
    orders = {**simple_orders(manifest.num_groups), "manifest": manifest.order}
    others = {name: describe_order(manifest, order, source, cost=price) for name, order in orders.items()}
    fitting = None if budget is None else best_mix(manifest, source.known, budget)
    view = PlanView(opened, found, others, tolerance, cost, budget, fitting, source.known)
    if as_json:
        click.echo(json.dumps(view.as_json(), indent=1, sort_keys=True))
    else:
        view.show(stdout_console())
    if figure is not None:
        from tfpwl.report.order_figure import plot_orders  # noqa: PLC0415

        title = f"{manifest.name}: accuracy against what is loaded"
        # Often the manifest's order is one of the others.
        drawn = {found.order: ("planned", found)}
        for name, other in others.items():
            drawn.setdefault(other.order, (name, other))
        plot_orders(figure, title, dict(drawn.values()), unit="ms" if cost == "time" else "bytes")
        click.echo(f"Drawn: {figure}", err=True)
    if write:
        _write(opened, found.order, source.known)
    if budget is not None and fitting is None:
        smallest = min(map(manifest.mix_bytes, source.known))
        click.echo(f"Error: no mix fits {budget:,} bytes; the smallest one takes {smallest:,}.", err=True)
        return 1
    return 0


class _FromData:
    """Measures mixes on a data set, each once."""

    def __init__(self, bundle: Bundle, data: str) -> None:
        from tfpwl.cli.bundle_data import load_bundle_data  # noqa: PLC0415

        loaded = load_bundle_data(data, bundle)
        if loaded.y is None:
            raise click.UsageError(f"--data {data} has no labels, so there is no accuracy to measure.")
        self._bundle = bundle
        self._x, self._y = loaded.x, loaded.y
        self.known: dict[Mix, float] = {}

    def __call__(self, wanted: Sequence[Mix]) -> Mapping[Mix, float]:
        from tfpwl.evaluate import evaluate_mixes  # noqa: PLC0415

        new = [mix for mix in wanted if mix not in self.known]
        if not new:
            return self.known
        columns = (TextColumn(f"measuring {len(new)} mixes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with bars(*columns) as progress:
            task = progress.add_task("", total=len(self._x))
            results = evaluate_mixes(
                self._bundle, self._x, self._y, new, raw=True,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )  # fmt: skip
        self.known.update((mix, result.accuracy) for mix, result in results.items())
        return self.known


class _FromMetrics:
    """What a build measured before."""

    def __init__(self, bundle: Bundle, path: Path) -> None:
        from tfpwl.report import BuildReport  # noqa: PLC0415

        report = BuildReport.from_json(path.read_bytes())
        if report.num_groups != bundle.manifest.num_groups:
            raise click.UsageError(
                f"{path} is about {report.num_groups} groups; the bundle has {bundle.manifest.num_groups}."
            )
        self._path = path
        self.known = {record.mix: record.accuracy for record in report.mixes if record.accuracy is not None}

    def __call__(self, wanted: Sequence[Mix]) -> Mapping[Mix, float]:
        missing = [str(mix) for mix in wanted if mix not in self.known]
        if missing:
            raise click.UsageError(
                f"{self._path} has no accuracy for {len(missing)} mixes, such as {missing[0]}. Give --data to measure."
            )
        return self.known


def _load_times(bundle: Bundle) -> Any:
    """Cost of a file: median milliseconds to read it, check its sum and load it, of five times in turn."""
    import statistics  # noqa: PLC0415
    import time  # noqa: PLC0415

    from tfpwl.runtime import make_engine  # noqa: PLC0415

    engine, threads = make_engine(), bundle.manifest.runtime.threads
    taken: dict[str, list[float]] = {entry.file: [] for entry in bundle.files()}
    with stderr_console().status("measuring how long each file takes to load"):
        for _ in range(5):
            for entry in bundle.files():
                start = time.perf_counter()
                group = engine.load(bundle.read(entry), threads=threads, sha256=entry.sha256)
                taken[entry.file].append(1e3 * (time.perf_counter() - start))
                group.close()
    medians = {file: statistics.median(times) for file, times in taken.items()}
    return lambda entry: medians[entry.file]


def _write(bundle: Bundle, order: tuple[int, ...], accuracy: Mapping[Mix, float]) -> None:
    from tfpwl.bundle import update_manifest  # noqa: PLC0415

    was_signed = bundle.is_signed
    latency = {entry.mix: entry.latency_ms for entry in bundle.manifest.path if entry.latency_ms is not None}
    update_manifest(bundle, order=order, path=bundle.manifest.walk(order, accuracy, latency))
    signed = " Its signature is gone: sign it again." if was_signed else ""
    click.echo(f"Written into {bundle.root}: order {', '.join(map(str, order))}.{signed}", err=True)
