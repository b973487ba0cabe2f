"""``tfpwl pull``: fetch a bundle from a web server, the student first."""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from tfpwl.bundle import PullProgress
from tfpwl.bundle import pull as pull_bundle
from tfpwl.cli.arguments import public_key_option
from tfpwl.cli.progress import stderr_console
from tfpwl.mix import Mix
from tfpwl.report import units

_LOCAL = ("localhost", "127.0.0.1", "::1")


@click.command()
@click.argument("url", metavar="URL")
@click.option(
    "-o", "--output", metavar="FOLDER", required=True, type=click.Path(path_type=Path), help="The bundle's folder."
)
@public_key_option
@click.option(
    "--timeout", default=30.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
    help="Seconds without a byte after which a connection counts as dead.",
)  # fmt: skip
@click.option(
    "--retries", default=5, show_default=True, type=click.IntRange(min=0), help="Tries in a row that may fail."
)
def pull(url: str, output: Path, public_key: Path | None, timeout: float, retries: int) -> None:
    """Fetch a bundle over HTTP or HTTPS.

    URL is the folder that holds manifest.json. The student's files come first, then the teacher's along the bundle's
    order; as soon as the student is there, the folder can be opened and answers. Sums are checked while bytes arrive.
    After an interruption the same command goes on where it stopped.

    \b
    Example:
      tfpwl pull https://example.org/models/digits -o digits --public-key pub.pem
    """
    console = stderr_console()
    parts = urllib.parse.urlsplit(url)
    if public_key is None and parts.scheme == "http" and parts.hostname not in _LOCAL:
        console.print("Neither HTTPS nor --public-key: nothing vouches for what arrives.", soft_wrap=True)
    with PullBar(console, output) as bar:
        bundle = pull_bundle(
            url, output, public_key=public_key, on_progress=bar.advanced, timeout=timeout, retries=retries
        )
    num_bytes = sum(entry.bytes for entry in bundle.files())
    click.echo(
        f"{bundle.manifest.name!r} is whole: {len(bundle.files())} files, {units.byte_size(num_bytes)}: {output}"
    )


class PullBar:
    """A bar of bytes where somebody watches, and a line for each mix that can run from now on."""

    def __init__(self, console: Console, output: Path) -> None:
        self._console = console
        self._output = output
        self._mix: Mix | None = None
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), DownloadColumn(), TransferSpeedColumn(),
            TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("manifest.json", total=None)

    def __enter__(self) -> PullBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advanced(self, progress: PullProgress) -> None:
        self._progress.update(
            self._task, description=progress.file, completed=progress.done_bytes, total=progress.total_bytes
        )
        if progress.mix is not None and progress.mix != self._mix:
            ready = f"; {self._output} can be opened from now on" if self._mix is None else ""
            self._mix = progress.mix
            self._console.print(f"{progress.mix} is there{ready}", soft_wrap=True)
