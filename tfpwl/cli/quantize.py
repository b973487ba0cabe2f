"""``tfpwl quantize``: another precision for a bundle that is there, without training."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tfpwl.bundle import Bundle, Quantization, RungEntry, write_bundle
from tfpwl.cli.arguments import bundle_argument, json_option, open_bundle, stdout_console
from tfpwl.cli.progress import bars
from tfpwl.errors import BundleError, GateError
from tfpwl.mix import Mix, all_mixes, path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tfpwl.evaluate import AnswerTime, MixResult

OnProgress = Callable[[int, int], None]
_ANSWERS = 200


@dataclass(frozen=True)
class _Images:
    """Model input for calibration, and raw images for accuracy where there are labels."""

    calibration: NDArray[Any]
    test: NDArray[Any]
    labels: NDArray[Any] | None


@dataclass(frozen=True)
class _Measured:
    """A bundle's mixes of the path."""

    results: Mapping[Mix, MixResult] | None
    times: Mapping[Mix, AnswerTime]


@click.command()
@bundle_argument
@click.option("--precision", required=True, type=click.Choice(["fp16", "w8", "int8"]), help="Of the new bundle.")
@click.option("--data", required=True, help="digits, fashion_mnist, …, a folder of images, or a .npz.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the new bundle. [BUNDLE-PRECISION]")
@click.option("--samples", default=512, show_default=True, type=click.IntRange(1), help="Images for calibration.")
@click.option("--mixes", default="path", show_default=True, type=click.Choice(["path", "all"]),
              help="Whose activations count in the calibration.")  # fmt: skip
@click.option("--max-drop", type=click.FloatRange(0.0, 100.0), metavar="POINTS",
              help="Write nothing and exit 1 when a mix of the path loses more.")  # fmt: skip
@json_option("what was measured")
def quantize(
    *,
    bundle: Path,
    precision: str,
    data: str,
    output: Path | None,
    samples: int,
    mixes: str,
    max_drop: float | None,
    as_json: bool,
) -> None:
    """Make a bundle of another precision from an fp32 bundle.

    No training: the float files are converted. int8 needs images for the ranges of its activations: of a data set its
    training images, of other sources half of what is there. Accuracy is measured on the test images, or on the other
    half, where there are labels. The fp32 bundle stays as it is.

    \b
    Example:
      tfpwl quantize runs/digits_resnet/bundle --precision int8 --data digits
      tfpwl quantize runs/my/bundle --precision int8 --data photos/ -o runs/my/int8 --max-drop 1.0
    """
    source = open_bundle(bundle)
    target = source.root.with_name(f"{source.root.name}-{precision}") if output is None else output.absolute()
    _check(source, target)
    images = _load(data, source, samples)
    if max_drop is not None and images.labels is None:
        raise click.UsageError(f"--max-drop needs accuracies, and --data {data} has no labels.")
    with _progress() as advance, tempfile.TemporaryDirectory(prefix="tfpwl-quantize-") as folder:
        files = _convert(source, precision, images, mixes, advance("calibrating"))
        fields = _fields(source, precision)
        draft = write_bundle(Path(folder) / "bundle", files=files, **fields)
        before, after = _measure(source, draft, images, advance("measuring"))
        _check_drop(precision, before, after, max_drop)
        quantization = _entry(source, draft, precision, before, after)
        written = write_bundle(
            target, files=files, quantization=quantization, accuracy=_accuracy(after),
            latency_ms={mix: round(taken.median_ms, 4) for mix, taken in after.times.items()}, **fields,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(_as_json(source, written, data, before, after), indent=1, sort_keys=True))
    else:
        stdout_console().print(_table(source, written, data, before, after))
        stdout_console().print(f"bundle  {written.root}", soft_wrap=True)


def _check(source: Bundle, target: Path) -> None:
    if source.manifest.precision != "fp32":
        raise BundleError(
            f"{source.root} is {source.manifest.precision}; expected fp32, because what was rounded once cannot be "
            "rounded anew. Give the fp32 bundle."
        )
    if target.resolve() == source.root.resolve():
        raise click.BadParameter(f"{target} is the fp32 bundle, which stays; give another folder.", param_hint="-o")


def _load(source: str, bundle: Bundle, samples: int) -> _Images:
    from tfpwl.cli.bundle_data import load_bundle_data, shuffled  # noqa: PLC0415
    from tfpwl.data import LABELS, load_dataset  # noqa: PLC0415

    found = shuffled(load_bundle_data(source, bundle), None)
    if source in LABELS:
        train = load_dataset(source).train.x
        calibration, rest = train[: min(samples, len(train))], 0
    else:
        rest = min(samples, len(found) if found.y is None else max(1, len(found) // 2))
        calibration = found.x[:rest]
    test, labels = found.x[rest:], None if found.y is None else found.y[rest:]
    return _Images(bundle.manifest.input.prepare(calibration), test, labels if len(test) else None)


def _convert(source: Bundle, precision: str, images: _Images, mixes: str, on_progress: OnProgress) -> dict[str, bytes]:
    from tfpwl.quantize import calibrate, quantize_files  # noqa: PLC0415

    files = {stem: source.read(entry) for stem, entry in source.manifest.stems().items()}
    calibration = None
    if precision == "int8":
        order = source.manifest.order
        chosen = all_mixes(len(order)) if mixes == "all" else path(order)
        calibration = calibrate(files, images.calibration, chosen, on_progress=on_progress)
    return quantize_files(files, precision, calibration)


def _fields(source: Bundle, precision: str) -> dict[str, Any]:
    """The arguments of ``write_bundle`` that the new bundle has from the old one."""
    manifest = source.manifest
    return {
        "name": manifest.name, "precision": precision, "producer": manifest.producer, "tier": manifest.tier,
        "preprocess": manifest.input.preprocess, "kind": manifest.output.kind, "labels": source.labels,
        "order": manifest.order, "runtime": manifest.runtime,
    }  # fmt: skip


def _measure(source: Bundle, draft: Bundle, images: _Images, on_progress: OnProgress) -> tuple[_Measured, _Measured]:
    from tfpwl.evaluate import compare_latency, evaluate_mixes  # noqa: PLC0415

    mixes, labels = path(source.manifest.order), images.labels
    results: list[Mapping[Mix, MixResult] | None] = [None, None]
    for index, one in enumerate((source, draft)):
        if labels is not None:
            results[index] = evaluate_mixes(
                one, images.test, labels, mixes, raw=True, on_progress=_half(index, len(labels), on_progress)
            )
    times = compare_latency({0: source, 1: draft}, mixes, answers=_ANSWERS)
    return _Measured(results[0], times[0]), _Measured(results[1], times[1])


def _half(index: int, total: int, on_progress: OnProgress) -> OnProgress:
    """The progress of one of two equal parts as that of the whole."""
    return lambda done, _: on_progress(index * total + done, 2 * total)


def _drop(before: _Measured, after: _Measured) -> tuple[float, Mix] | None:
    """Points that the worst mix loses, and which mix that is; None without labels."""
    if before.results is None or after.results is None:
        return None
    drops = [
        (round(100 * (before.results[mix].accuracy - after.results[mix].accuracy), 9), mix) for mix in after.results
    ]
    return max(drops, key=lambda one: one[0])


def _check_drop(precision: str, before: _Measured, after: _Measured, max_drop: float | None) -> None:
    worst = _drop(before, after)
    if max_drop is not None and worst is not None and worst[0] > max_drop:
        raise GateError(
            f"{precision} loses {worst[0]:.2f} points on {worst[1]}; --max-drop allows {max_drop:g}. Nothing was "
            "written. Try another --precision, more --samples, or a pipeline with `quantize: {qat: {epochs: 3}}`."
        )


def _entry(source: Bundle, draft: Bundle, precision: str, before: _Measured, after: _Measured) -> Quantization:
    teacher, worst = path(source.manifest.order)[-1], _drop(before, after)
    method = "calibration" if precision == "int8" else "weights"
    times = [round(one.times[teacher].median_ms, 4) for one in (before, after)]
    float_drop, drop = (None, None) if worst is None else (0.0, worst[0])
    rungs = (
        RungEntry("fp32", "export", _size(source), float_drop, times[0]),
        RungEntry(precision, method, _size(draft), drop, times[1]),
    )
    return Quantization(precision, method, f"{precision} was asked for with tfpwl quantize.", rungs)


def _accuracy(measured: _Measured) -> dict[Mix, float]:
    return {} if measured.results is None else {mix: result.accuracy for mix, result in measured.results.items()}


def _size(bundle: Bundle) -> int:
    return sum(entry.bytes for entry in bundle.files())


@contextmanager
def _progress() -> Iterator[Callable[[str], OnProgress]]:
    with bars(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as progress:

        def start(what: str) -> OnProgress:
            task = progress.add_task(what, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield start


def _as_json(source: Bundle, written: Bundle, data: str, before: _Measured, after: _Measured) -> dict[str, Any]:
    worst = _drop(before, after)
    was, now = _accuracy(before), _accuracy(after)
    mixes = {
        str(mix): {
            "accuracy": now.get(mix), "fp32_accuracy": was.get(mix),
            "latency_ms": after.times[mix].median_ms, "fp32_latency_ms": before.times[mix].median_ms,
        }
        for mix in after.times
    }  # fmt: skip
    return {
        "bundle": str(written.root), "from": str(source.root), "data": data, "precision": written.manifest.precision,
        "bytes": _size(written), "fp32_bytes": _size(source), "mixes": mixes,
        "drop": None if worst is None else worst[0],
    }  # fmt: skip


def _table(source: Bundle, written: Bundle, data: str, before: _Measured, after: _Measured) -> Table:
    from tfpwl.cli.rendering import mix_text  # noqa: PLC0415
    from tfpwl.report import units  # noqa: PLC0415

    precision = written.manifest.precision
    shown = (units.byte_size(_size(source)), units.byte_size(_size(written)))
    title = f"{written.manifest.name}: fp32 {shown[0]} → {precision} {shown[1]}, on {data}"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, column in enumerate(("mix", "fp32", precision, "change", "fp32 answer", f"{precision} answer")):
        table.add_column(column, justify="right" if index else "left")
    was, now = _accuracy(before), _accuracy(after)
    for mix in after.times:
        change = now[mix] - was[mix] if mix in now else None
        table.add_row(
            mix_text(mix), units.percent(was.get(mix)), units.percent(now.get(mix)), units.points(change),
            units.milliseconds(before.times[mix].median_ms), units.milliseconds(after.times[mix].median_ms),
        )  # fmt: skip
    return table
