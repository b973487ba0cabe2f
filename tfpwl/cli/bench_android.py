"""``tfpwl bench --android``: a bundle, or .tflite files under TFLite's own benchmark, on phones."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn

import tfpwl
from tfpwl.cli.arguments import open_bundle, stdout_console
from tfpwl.cli.progress import stderr_console

if TYPE_CHECKING:
    from tfpwl.bench.android.adb import Phone
    from tfpwl.bench.android.program import Program
    from tfpwl.bench.android.results import AndroidResult
    from tfpwl.bundle import Bundle

_PATH = click.Path(path_type=Path)
# Where `make android` puts what runs on a phone.
PARTS = Path(tfpwl.__file__).parents[1] / "android_bench/bench/target/device"


@click.command()
@click.argument("files", metavar="BUNDLE | FILE…", nargs=-1, type=_PATH)
@click.option("--android", "wanted", is_flag=False, flag_value="", metavar="[SERIAL|all]",
              help="Which phone; without a word the only one, or that of $ANDROID_SERIAL.")  # fmt: skip
@click.option("--benchmark-model", type=_PATH, metavar="PATH",
              help="TFLite's benchmark_model for Android, to measure single files (or all of a bundle).")  # fmt: skip
@click.option("--rivals", is_flag=True, help="Also the models in one piece that lie in rivals/ beside the bundle.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(min=1), help="Processes per figure.")
@click.option("--seconds", default=1.0, show_default=True, type=click.FloatRange(min=0),
              help="Of answers per mix with everything loaded (BUNDLE only).")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Of the interpreter. [the bundle's, or the tool's]")
@click.option("--delegate", default="cpu", show_default=True, type=click.Choice(["cpu", "gpu"]), help="What computes.")
@click.option("--cpu-mask", default="", metavar="HEX", help="Processors to run on, as for taskset: f0 is 4 to 7.")
@click.option("--cool-down", default=120.0, show_default=True, type=click.FloatRange(min=0), metavar="SECONDS",
              help="Longest wait before each run until the phone is as cool as at first.")  # fmt: skip
@click.option("--timeout", default=1800.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              metavar="SECONDS", help="For one run; then it is killed.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=int, help="Of the random order of the runs.")
@click.option("--keep", is_flag=True, help="Leave the pushed files on the phone; the next call pushes what changed.")
@click.option("--parts", default=PARTS, type=_PATH, metavar="FOLDER",
              help="What runs on the phone, as built by make android. [of this repository]")  # fmt: skip
@click.option("-o", "--output", type=_PATH, metavar="FOLDER",
              help="Write result.json, result.csv, result.md and tombstones.")  # fmt: skip
def bench_android(
    files: tuple[Path, ...],
    *,
    wanted: str,
    benchmark_model: Path | None,
    rivals: bool,
    repeats: int,
    seconds: float,
    threads: int | None,
    delegate: Any,
    cpu_mask: str,
    cool_down: float,
    timeout: float,
    seed: int,
    keep: bool,
    parts: Path,
    output: Path | None,
) -> int:
    """Measure a bundle, or single .tflite files, on phones.

    Everything goes through adb; all phones are measured at the same time. A phone that fails does not stop the others,
    and nothing is left on it. BUNDLE: start, first answer, answers during the upgrade and of each mix, memory.
    With --benchmark-model: each FILE, and each file of a bundle that is given as FILE, under TFLite's own tool.

    Exit code: 0 all phones were measured; 1 some phone failed; 2 wrong use, no phone, no bundle.

    \b
    Example:
      tfpwl bench --android runs/digits_resnet/bundle
      tfpwl bench --android all runs/digits_resnet/bundle --rivals -o out
      tfpwl bench --android R5CT10 runs/digits_resnet/bundle --cpu-mask f0 --threads 4
      tfpwl bench --android --benchmark-model ./benchmark_model teacher.tflite student.tflite
    """
    from tfpwl.bench.android.adb import ALL, Adb  # noqa: PLC0415
    from tfpwl.bench.android.benchmark_model import BenchmarkModel  # noqa: PLC0415
    from tfpwl.bench.android.bundle_bench import BundleBench  # noqa: PLC0415
    from tfpwl.bench.android.program import ProgramOptions  # noqa: PLC0415
    from tfpwl.bench.android.session import SessionOptions, measure_phones  # noqa: PLC0415

    if wanted not in ("", ALL) and Path(wanted).exists():
        wanted, files = "", (Path(wanted), *files)  # `--android bundle`: the word is no serial
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]*", cpu_mask):
        raise click.UsageError(f"--cpu-mask {cpu_mask!r} is no hexadecimal number such as f0.")
    options = ProgramOptions(threads=threads, delegate=delegate, cpu_mask=cpu_mask.removeprefix("0x"))
    if benchmark_model is None:
        bundle = _only_bundle(files)
        beside = _rivals_of(bundle) if rivals else {}
        program: Program = BundleBench(bundle, parts, beside, options, seconds=seconds, seed=seed)
    else:
        program = BenchmarkModel(_binary(benchmark_model), _models(files), options)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    session = SessionOptions(
        repeats=repeats, seed=seed, cool_down_s=cool_down, timeout_s=timeout, keep_pushed=keep
    )  # fmt: skip
    phones = Adb().select(wanted)
    with PhoneBars(phones) as bars:
        result = measure_phones(phones, program, session, on_progress=bars.advanced)
    _report(result, output)
    return 0 if result.complete else 1


def _only_bundle(files: Sequence[Path]) -> Bundle:
    if len(files) != 1:
        raise click.UsageError(f"{len(files)} bundles were given; expected one (or --benchmark-model PATH and files).")
    return open_bundle(files[0])


def _rivals_of(bundle: Bundle) -> dict[str, Path]:
    from tfpwl.bench.rivals import find_rivals  # noqa: PLC0415

    found = find_rivals(bundle)
    files = {"teacher": found.teacher, "student": found.student}
    beside = {name: path for name, path in files.items() if path is not None}
    if not beside:
        raise click.UsageError(f"There are no models in one piece in {bundle.root.parent / 'rivals'}.")
    return beside


def _binary(path: Path) -> Path:
    if not path.is_file():
        raise click.UsageError(f"There is no file {path}; expected TFLite's benchmark_model built for Android.")
    return path


def _models(files: Sequence[Path]) -> dict[str, Path]:
    """The files by the name they have in the results: without their folder, where that is enough to tell them apart."""
    models: list[Path] = []
    for given in files:
        if given.is_dir():
            models += [given / entry.file for entry in open_bundle(given).files()]
        elif given.is_file():
            models.append(given)
        else:
            raise click.UsageError(f"There is no file {given}; expected a .tflite file or the folder of a bundle.")
    if not models:
        raise click.UsageError("No FILE was given for --benchmark-model.")
    names = Counter(path.name for path in models)
    return {path.name if names[path.name] == 1 else str(path): path for path in models}


class PhoneBars:
    """A bar per phone where somebody watches, else a line per step."""

    def __init__(self, phones: Sequence[Phone]) -> None:
        self._console = stderr_console()
        columns = (TextColumn("{task.fields[serial]}"), BarColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=self._console, transient=True,
                                  disable=not self._console.is_terminal)  # fmt: skip
        self._tasks: dict[str, TaskID] = {
            phone.serial: self._progress.add_task("waiting", total=None, serial=phone.serial) for phone in phones
        }
        self._told: dict[str, str] = {}
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> PhoneBars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advanced(self, serial: str, done: int, total: int, what: str) -> None:
        with self._one_at_a_time:
            self._progress.update(self._tasks[serial], completed=done, total=total, description=what)
            # Not each degree of a phone that cools down.
            step = what.partition(":")[0]
            if self._progress.disable and self._told.get(serial) != step:
                self._told[serial] = step
                self._console.print(f"{serial}: {what}", soft_wrap=True, markup=False)


def _report(result: AndroidResult, output: Path | None) -> None:
    from tfpwl.report.android_sheets import android_sheets, describe_phone  # noqa: PLC0415
    from tfpwl.report.sheets import markdown_table, rich_table  # noqa: PLC0415

    sheets = android_sheets(result)
    if output is not None:
        (output / "result.json").write_text(result.to_json(), encoding="utf-8")
        (output / "result.csv").write_text(result.to_csv(), encoding="utf-8")
        (output / "result.md").write_text("\n\n".join(map(markdown_table, sheets)) + "\n", encoding="utf-8")
    console = stdout_console()
    for phone in result.phones:
        if phone.runs:
            console.print(describe_phone(phone), soft_wrap=True, markup=False)
    for sheet in sheets:
        if sheet.header[1] != "error":
            console.print(rich_table(sheet))
    for phone in result.phones:
        for note in phone.notes:
            click.echo(f"Note: {phone.serial}: {note}", err=True)
        if (failure := phone.failure) is None:
            continue
        click.echo(f"Error: {describe_phone(phone)}: {failure.message}", err=True)
        if failure.tombstone and output is not None:
            path = output / f"{re.sub(r'[^A-Za-z0-9.-]', '_', phone.serial)}.tombstone.txt"
            path.write_text(failure.tombstone + "\n", encoding="utf-8")
            click.echo(f"The tombstone is in {path}.", err=True)
        elif failure.tombstone:
            click.echo("The phone wrote a tombstone; -o FOLDER keeps it.", err=True)
