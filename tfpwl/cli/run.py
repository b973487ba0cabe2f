"""``tfpwl run``: a bundle that answers at once and upgrades while it answers."""

from __future__ import annotations

import json
import logging
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from tfpwl.bundle import Bundle
from tfpwl.cli.arguments import bundle_argument, json_option, open_bundle, stdout_console
from tfpwl.cli.bundle_data import BundleData, load_bundle_data, shuffled
from tfpwl.cli.progress import stderr_console
from tfpwl.cli.run_session import Answer, Classes, Schedule, Tally, answers
from tfpwl.cli.run_view import BarView, LineView, LiveView, View, tally_table
from tfpwl.report import units
from tfpwl.runtime import ProgressiveModel

EXIT_INTERRUPTED = 130
_WATCH_PACE_S = 2.0
_TOP = 3


@click.command()
@bundle_argument
@click.option("--data", required=True, help="digits, fashion_mnist, …, a folder of images, one image, or a .npz.")
@click.option("--watch", is_flag=True, help="Show mix, ms per answer and accuracy while they change.")
@click.option("--limit", type=click.IntRange(min=1), help="Answer only so many of the images.")
@click.option(
    "--pace", type=click.FloatRange(min=0), metavar="SECONDS",
    help="Let each mix answer an equal share of the images, for so long at least; 0 upgrades as fast as the files "
    f"load. [{_WATCH_PACE_S:g} with --watch, else 0]",
)  # fmt: skip
@json_option("what was answered and measured")
def run(*, bundle: Path, data: str, watch: bool, limit: int | None, pace: float | None, as_json: bool) -> int:
    """Answer images while upgrading to the teacher.

    The student answers at once, then more and more groups of the teacher take over. Of a data set the test images are
    answered, in a fixed random order; their labels give the accuracy so far. Images without labels (one image, or a
    folder without sub-folders) get an answer each. The table tells for each mix since when it answered, how many, and
    in how many milliseconds. Small bundles upgrade in a few milliseconds: a --pace spreads the upgrade over the run.
    Ctrl-C ends with the table.

    \b
    Example:
      tfpwl run runs/digits_resnet/bundle --data digits --watch
      tfpwl run runs/my/bundle --data photo.jpg
      tfpwl run runs/my/bundle --data photos/ --json
    """
    opened_bundle = open_bundle(bundle)
    images = shuffled(load_bundle_data(data, opened_bundle), limit)
    # A failed upgrade is reported once, at the end; a log line would tear the live view.
    logging.getLogger("tfpwl.runtime").addHandler(logging.NullHandler())
    session = _Session(opened_bundle, images, watch, _pace(pace, watch))
    session.run(print_answers=not as_json)
    if as_json:
        click.echo(json.dumps(session.as_json(), indent=1, sort_keys=True))
    else:
        session.print_summary()
    if session.model.last_error is not None:
        raise session.model.last_error
    return EXIT_INTERRUPTED if session.interrupted else 0


def _pace(pace: float | None, watch: bool) -> float:
    if pace is not None:
        return pace
    return _WATCH_PACE_S if watch else 0.0


class _Session:
    def __init__(self, bundle: Bundle, data: BundleData, watch: bool, pace_s: float) -> None:
        # Importing the binding takes 0.2 s and is no part of what is measured. Its absence is told by open().
        with suppress(ImportError):
            import ai_edge_litert.interpreter  # noqa: F401, PLC0415
        self.bundle = bundle
        self.data = data
        self.tally = Tally(data, Classes.of(bundle))
        self.interrupted = False
        # What each image was taken for, the first time.
        self.predictions: list[dict[str, Any]] = []
        self._watch = watch
        batch = bundle.manifest.input.shape[0]
        self._schedule = Schedule.make(-(-len(data) // batch), bundle.manifest.order, pace_s)
        self._opened = time.perf_counter()
        self.model = ProgressiveModel.open(bundle)
        self._open_ms = 1e3 * (time.perf_counter() - self._opened)

    def run(self, *, print_answers: bool) -> None:
        with self.model, self._view() as view:
            try:
                for answer in answers(self.model, self.data, self._schedule, self._opened):
                    self.tally.add(answer)
                    if self.data.y is None:
                        self._predict(answer, print_answers and not self._watch)
                    view.update(self.tally)
            except KeyboardInterrupt:
                self.interrupted = True

    def _view(self) -> View:
        console = stderr_console()
        if self._watch:
            live = console.is_terminal
            return LiveView(console, self.model, self._schedule) if live else LineView(console, self.model)
        return BarView(console, self.model, self._schedule)

    def _predict(self, answer: Answer, print_it: bool) -> None:
        """Keep what each image is taken for the first time; of a single image, what each mix says."""
        first = answer.number * len(answer.images)
        for image, output in zip(answer.images.tolist(), answer.output, strict=True):
            is_new = first < len(self.data)
            first += 1
            if not (is_new or (self.data.is_image and answer.mix != self.predictions[-1]["mix"])):
                continue
            top = self.tally.classes.top(output, _TOP)
            self.predictions.append({
                "name": self.data.name(image), "mix": str(answer.mix), "ms": round(answer.ms, 4),
                "top": [{"label": label, "probability": round(probability, 6)} for label, probability in top],
            })  # fmt: skip
            if print_it:
                said = ", ".join(f"{label} {units.percent(probability)}" for label, probability in top)
                click.echo(f"{self.data.name(image)}  {answer.mix}  {answer.ms:.3f} ms  {said}")

    def print_summary(self) -> None:
        console = stdout_console()
        if self._watch or not self.data.is_image:
            console.print(tally_table(self.tally))
        if self.data.y is not None and len(self.tally.mixes) > 1:
            console.print(
                f"Each mix answered what came while it ran. To compare them: tfpwl evaluate {self.bundle.root} --data "
                f"{self.data.source}", style="dim", soft_wrap=True,
            )  # fmt: skip
        ended = "interrupted at" if self.interrupted else "now"
        console.print(f"student loaded in {units.milliseconds(self._open_ms)}, first answer after "
                      f"{units.milliseconds(self._first_ms())}, {ended} {self.model.mix}", soft_wrap=True)  # fmt: skip

    def _first_ms(self) -> float | None:
        return next((entry.since_ms + entry.ms[0] for entry in self.tally.mixes.values()), None)

    def as_json(self) -> dict[str, Any]:
        error = self.model.last_error
        return {
            "bundle": str(self.bundle.root), "data": self.data.source, "num_images": len(self.data),
            "mix": str(self.model.mix), "interrupted": self.interrupted, "error": None if error is None else str(error),
            "open_ms": round(self._open_ms, 3), "first_answer_ms": self._first_ms(),
            "mixes": [
                {
                    "mix": str(entry.mix), "since_ms": round(entry.since_ms, 3), "answers": len(entry.ms),
                    "images": entry.images, "accuracy": entry.accuracy,
                    "median_ms": round(statistics.median(entry.ms), 4), "max_ms": round(max(entry.ms), 4),
                }
                for entry in self.tally.mixes.values()
            ],
            **({} if self.data.y is not None else {"predictions": self.predictions}),
        }  # fmt: skip
