"""``tfpwl profile``: threads, delegate and precision that a bundle runs best with on a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tfpwl.cli.arguments import open_bundle, stdout_console
from tfpwl.cli.bench_android import PARTS, PhoneBars
from tfpwl.cli.progress import bars

if TYPE_CHECKING:
    from tfpwl.bench.android.session import SessionOptions
    from tfpwl.bench.profile import Profile
    from tfpwl.bundle import Bundle

_PATH = click.Path(path_type=Path)
_FOLDER = Path("profiles")


class _Counts(click.ParamType):
    """Numbers with commas between them: 1,2,4."""

    name = "counts"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            counts = tuple(dict.fromkeys(int(part) for part in str(value).split(",")))
        except ValueError:
            counts = ()
        if not counts or not all(1 <= count <= 1024 for count in counts):
            self.fail(f"received {value!r}; expected numbers of threads such as 1,2,4", param, ctx)
        return counts


@click.command()
@click.argument("bundles", metavar="BUNDLE…", nargs=-1, type=_PATH)
@click.option("--threads", type=_Counts(), metavar="N,N…", help="To try. [1, 2, 4 … up to the cores]")
@click.option("--repeats", default=10, show_default=True, type=click.IntRange(min=1),
              help="Fresh processes per bundle, number of threads and delegate.")  # fmt: skip
@click.option("--seconds", default=0.5, show_default=True, type=click.FloatRange(min=0),
              help="Of answers per mix and process.")  # fmt: skip
@click.option("--android", "wanted", is_flag=False, flag_value="", metavar="[SERIAL|all]",
              help="Measure phones; without a word the only one, or that of $ANDROID_SERIAL.")  # fmt: skip
@click.option("--cool-down", default=120.0, show_default=True, type=click.FloatRange(min=0), metavar="SECONDS",
              help="Longest wait before each run until a phone is as cool as at first.")  # fmt: skip
@click.option("--parts", default=PARTS, type=_PATH, metavar="FOLDER",
              help="What runs on a phone, as built by make android. [of this repository]")  # fmt: skip
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="The profile. [profiles/DEVICE.json]")
def profile(
    bundles: tuple[Path, ...],
    *,
    wanted: str | None,
    threads: tuple[int, ...] | None,
    repeats: int,
    seconds: float,
    cool_down: float,
    parts: Path,
    output: Path | None,
) -> int:
    """Measure what bundles run best with on this machine or on phones, and keep it as a profile.

    Give one bundle per precision of the same model, or a folder in which they lie. Every bundle is measured with every
    number of threads and on the GPU where LiteRT finds one, in turn, in fresh processes; times are those of the
    all-teacher mix. The fastest wins; what takes at most 5 % longer with fewer threads is better. Have the machine for
    yourself.

    With --android on phones, all at the same time, on the CPU with 1, 2 and 4 threads and on the GPU; needs adb and
    what make android builds. The command ends with 1 where a phone failed.

    \b
    Example:
      tfpwl profile runs/digits_resnet/bundle
      tfpwl profile bundles/fp32 bundles/int8 -o profiles/my-board.json
      tfpwl profile bundles/ --threads 1,2 --repeats 20
      tfpwl profile --android all bundles/
    """
    if wanted and Path(wanted).exists():
        wanted, bundles = "", (Path(wanted), *bundles)  # `--android bundle`: the word is no serial
    if not bundles:
        raise click.UsageError("Give a bundle, or a folder in which bundles lie.")
    opened = find_bundles(bundles)
    if wanted is not None:
        from tfpwl.bench.android.session import SessionOptions  # noqa: PLC0415

        session = SessionOptions(repeats=repeats, cool_down_s=cool_down)
        return _profile_phones(
            opened, wanted, threads=threads, session=session, seconds=seconds, parts=parts, output=output
        )
    _profile_here(opened, threads, repeats, seconds, output)
    return 0


def _profile_here(
    bundles: Sequence[Bundle], threads: tuple[int, ...] | None, repeats: int, seconds: float, output: Path | None
) -> None:
    from tfpwl.bench.profiling import profile_host  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # One redraw a second: drawing takes processor time from what is measured.
    with bars(*columns, refresh_per_second=1) as progress:
        task = progress.add_task("measuring", total=None)

        def on_progress(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, description=what)

        found = profile_host(bundles, threads=threads, repeats=repeats, seconds=seconds, on_progress=on_progress)
    _keep(found, _FOLDER / f"{found.device.name}.json" if output is None else output)


def _profile_phones(
    bundles: Sequence[Bundle],
    wanted: str,
    *,
    threads: tuple[int, ...] | None,
    session: SessionOptions,
    seconds: float,
    parts: Path,
    output: Path | None,
) -> int:
    from tfpwl.bench.android.adb import Adb  # noqa: PLC0415
    from tfpwl.bench.android.phone_profile import PHONE_THREADS, profile_phones  # noqa: PLC0415
    from tfpwl.bench.profile import Profile  # noqa: PLC0415

    phones = Adb().select(wanted)
    if output is not None and len(phones) > 1:
        raise click.UsageError(f"--output names one file, and {len(phones)} phones are to be measured; leave it out.")
    with PhoneBars(phones) as bars:
        found = profile_phones(
            phones, bundles, parts, threads=threads or PHONE_THREADS, seconds=seconds, session=session,
            on_progress=bars.advanced,
        )  # fmt: skip
    names: list[str] = []
    for serial, outcome in found.items():
        if not isinstance(outcome, Profile):
            click.echo(f"Error: {serial}: {outcome}", err=True)
            continue
        name = outcome.device.name
        names.append(name)
        twin = f"-{names.count(name)}" if names.count(name) > 1 else ""
        _keep(outcome, _FOLDER / f"{name}{twin}.json" if output is None else output)
    return 0 if len(names) == len(found) else 1


def _keep(found: Profile, target: Path) -> None:
    from tfpwl.bench.profile import save_profile  # noqa: PLC0415

    save_profile(target, found)
    _show(found)
    click.echo(f"Written: {target}", err=True)


def find_bundles(paths: Sequence[Path]) -> list[Bundle]:
    """The bundles at these paths and, for folders that are none, those in them; one per precision.

    Raises:
        BundleError: a path is no bundle and none lies in it, or a bundle is broken.
        UsageError: two bundles have the same precision.
    """
    opened: dict[str, Bundle] = {}
    for path in dict.fromkeys(place for given in paths for place in _places(given)):
        bundle = open_bundle(path)
        known = opened.setdefault(bundle.manifest.precision, bundle)
        # A build's chosen rung lies there twice, as `bundle` and under its own name.
        if known.manifest_bytes != bundle.manifest_bytes:
            raise click.UsageError(
                f"{known.root} and {bundle.root} are different bundles of precision {bundle.manifest.precision}; a "
                "profile has one model, one bundle per precision."
            )
    return list(opened.values())


def _places(path: Path) -> list[Path]:
    """The path itself if it is a bundle, or claims to be; otherwise the bundles in it and in its ``bundles``."""
    from tfpwl.bundle.packing import PACK_SUFFIX  # noqa: PLC0415
    from tfpwl.bundle.store import MANIFEST_NAME  # noqa: PLC0415

    if not path.is_dir() or (path / MANIFEST_NAME).exists():
        return [path]
    inside = [*path.glob("*"), *path.glob("bundles/*")]
    found = sorted(one for one in inside if (one / MANIFEST_NAME).exists() or one.suffix == PACK_SUFFIX)
    return found or [path]


def _show(found: Profile) -> None:
    """Print a profile as a table, with what it recommends for each precision."""
    from tfpwl.report import units  # noqa: PLC0415

    best = {precision: found.best([precision]) for precision in found.precisions}
    title = f"{found.device.name}: medians of {len(found.measurements[0].teacher_ms)} processes"
    table = Table("precision", "threads", "delegate", "student", "teacher", "files", "",
                  title=title, title_justify="left")  # fmt: skip
    for one in found.measurements:
        choice = best[one.precision]
        taken = (one.threads, one.delegate, one.median_ms) == (choice.threads, choice.delegate, choice.median_ms)
        table.add_row(
            one.precision, str(one.threads), one.delegate, units.milliseconds(one.student_median_ms),
            units.milliseconds(one.median_ms), units.byte_size(one.bundle_bytes), "best" if taken else "",
        )  # fmt: skip
    console = stdout_console()
    console.print(table)
    for precision, choice in best.items():
        console.print(f"{precision}: {choice.threads} × {choice.delegate}, {choice.reason}", soft_wrap=True)
    overall = found.best()
    console.print(f"Fastest of all: {overall.precision}, {overall.threads} × {overall.delegate}", soft_wrap=True)
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
