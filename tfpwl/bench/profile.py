"""A device's profile: what each precision, number of threads and delegate took there, and which are best.

Written by ``tfpwl profile``; a tier names profiles, and a build picks threads, delegate and precision by them.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tfpwl.bundle.atomic import replace_file
from tfpwl.bundle.schema import Document, Node, parse_json
from tfpwl.errors import ProfileError

FORMAT = "tfpwl-profile"
VERSION = 1
MAX_PROFILE_BYTES = 1 << 22
PRECISIONS = ("fp32", "fp16", "int8", "w8")
# What takes at most this much longer counts as equally fast: fewer threads leave the rest of the app more.
CLOSE = 0.05
_DOCUMENT = Document("the profile", ProfileError, "measure it again with `tfpwl profile`")


@dataclass(frozen=True, slots=True)
class ProfiledDevice:
    """Where it was measured.

    Attributes:
        name: such as ``"pixel-6a"``; the profile's file is called so.
        processor, cores, memory_bytes: of the machine, memory as the system sees it.
        system: its version and kind of processor.
        runtime: of TFLite or LiteRT, with its version.
    """

    name: str
    processor: str
    cores: int
    memory_bytes: int
    system: str
    runtime: str

    @classmethod
    def read(cls, node: Node) -> ProfiledDevice:
        node.fields("name", "processor", "cores", "memory_bytes", "system", "runtime")
        return cls(
            node["name"].text(),
            node["processor"].text(),
            node["cores"].integer(minimum=1, maximum=1 << 16),
            node["memory_bytes"].integer(minimum=0),
            node["system"].text(),
            node["runtime"].text(),
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """One bundle with one number of threads and one delegate.

    Attributes:
        bundle: its name.
        precision, threads, delegate: how it ran.
        bundle_bytes: of the files of the all-teacher mix.
        student_ms, teacher_ms: milliseconds per answer of the all-student and the all-teacher mix: the median of each
            fresh process.
    """

    bundle: str
    precision: str
    threads: int
    delegate: str
    bundle_bytes: int
    student_ms: tuple[float, ...]
    teacher_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """Of an answer of the all-teacher mix, where a bundle spends its time once it is loaded."""
        return statistics.median(self.teacher_ms)

    @property
    def student_median_ms(self) -> float:
        return statistics.median(self.student_ms)

    @classmethod
    def read(cls, node: Node) -> Measurement:
        node.fields("bundle", "precision", "threads", "delegate", "bundle_bytes", "student_ms", "teacher_ms")
        return cls(
            node["bundle"].text(),
            node["precision"].choice(*PRECISIONS),
            node["threads"].integer(minimum=1, maximum=1024),
            node["delegate"].text(),
            node["bundle_bytes"].integer(minimum=1),
            tuple(member.number(minimum=0) for member in node["student_ms"].items(minimum=1)),
            tuple(member.number(minimum=0) for member in node["teacher_ms"].items(minimum=1)),
        )


@dataclass(frozen=True, slots=True)
class ProfileChoice:
    """What a profile recommends: precision, threads and delegate, the time per answer, and why."""

    precision: str
    threads: int
    delegate: str
    median_ms: float
    student_ms: float
    reason: str


@dataclass(frozen=True, slots=True)
class Profile:
    """All of a profile; ``notes`` are what its reader has to know."""

    device: ProfiledDevice
    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...] = ()

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that were measured, in their order."""
        return tuple(dict.fromkeys(one.precision for one in self.measurements))

    def best(self, precisions: Sequence[str] | None = None, *, max_threads: int | None = None) -> ProfileChoice:
        """The fastest settings; of those within 5 % the one with the fewest threads, then with the smallest files.

        Args:
            precisions: to choose among, all by default: a profile knows how fast a precision is, not how accurate.
            max_threads: the most that an app may use.

        Raises:
            ProfileError: none of that was measured.

        Example:
            >>> load_profile("profiles/pixel-6a.json").best(["int8"]).threads       # doctest: +SKIP
            1
        """
        wanted = self.precisions if precisions is None else tuple(precisions)
        found = [
            one
            for one in self.measurements
            if one.precision in wanted and (max_threads is None or one.threads <= max_threads)
        ]
        if not found:
            limit = "" if max_threads is None else f" with at most {max_threads} threads"
            measured = sorted({f"{one.precision} × {one.threads}" for one in self.measurements})
            raise ProfileError(
                f"The profile of {self.device.name!r} has no figure for {', '.join(wanted) or 'no precision'}{limit}; "
                f"it has {', '.join(measured)}. Measure again with `tfpwl profile`."
            )
        fastest = min(found, key=lambda one: one.median_ms)
        close = [one for one in found if one.median_ms <= (1 + CLOSE) * fastest.median_ms]
        best = min(close, key=lambda one: (one.threads, one.bundle_bytes, one.median_ms))
        return ProfileChoice(
            best.precision, best.threads, best.delegate, best.median_ms, best.student_median_ms, _reason(best, fastest)
        )

    def to_json(self) -> str:
        """The text of the file, with what is best of each precision for people who read it."""
        fields = {"format": FORMAT, "version": VERSION, **asdict(self)}
        fields["best"] = {precision: asdict(self.best([precision])) for precision in self.precisions}
        return json.dumps(fields, sort_keys=True, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Profile:
        """Parse a profile and check it; ``best`` is worked out anew from the figures.

        Raises:
            ProfileError: with the JSON path of the place that is wrong.
        """
        root = parse_json(text, max_bytes=MAX_PROFILE_BYTES, document=_DOCUMENT)
        if isinstance(root.value, dict) and "format" in root.value and "version" in root.value:
            root["format"].choice(FORMAT)
            version = root["version"].integer(minimum=1)
            if version != VERSION:
                root["version"].fail(f"received {version}; this tfpwl reads {VERSION}. Measure again")
        root.fields("format", "version", "device", "measurements", optional=("best", "notes"))
        notes = root.maybe("notes")
        return cls(
            ProfiledDevice.read(root["device"]),
            tuple(Measurement.read(node) for node in root["measurements"].items(minimum=1)),
            () if notes is None else tuple(node.text() for node in notes.items()),
        )


def load_profile(path: str | os.PathLike[str]) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: the file is missing or broken; the message names it.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_PROFILE_BYTES + 1)
    except OSError as exc:
        reason = f"{exc.strerror or exc}; expected a profile that `tfpwl profile` wrote."
        raise ProfileError(f"{path}: {reason}") from exc
    try:
        return Profile.from_json(text)
    except ProfileError as exc:
        raise ProfileError(f"{path}: {exc}") from exc


def save_profile(path: str | os.PathLike[str], profile: Profile) -> None:
    """Write a profile, or replace it, in one step; its folder is made where it is missing.

    Raises:
        ProfileError: it breaks a rule of the format; nothing is written then.
        BundleError: it cannot be written.
    """
    target, text = Path(path), profile.to_json()
    Profile.from_json(text)
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, [text.encode()])


def _reason(best: Measurement, fastest: Measurement) -> str:
    if best is fastest:
        return f"the fastest: {best.median_ms:.3g} ms per answer"
    why = "fewer threads" if best.threads < fastest.threads else "smaller files"
    other = f"{fastest.precision} with {_threads(fastest.threads)} and {fastest.delegate}"
    return f"{best.median_ms:.3g} ms per answer, within 5 % of {other} ({fastest.median_ms:.3g} ms), and {why}"


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"
