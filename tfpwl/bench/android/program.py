"""What a session runs on a phone: a program, what has to lie there for it, its command line, its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from tfpwl.bench.android.device import PhoneFacts

# Subject -> metric -> value; times in ms, memory in bytes, as the names of the metrics say.
Figures = Mapping[str, Mapping[str, float]]
Delegate = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """How the program on the phone is to measure.

    Attributes:
        threads: of the interpreter; None leaves it to the program.
        delegate: what runs the operators.
        cpu_mask: the processors it may use, hexadecimal as for ``taskset``; empty for all.
    """

    threads: int | None = None
    delegate: Delegate = "cpu"
    cpu_mask: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run of a program told: its figures, and everything it told, for the JSON."""

    figures: Figures
    told: Mapping[str, Any]


class Program(Protocol):
    """A benchmark that runs on a phone, in a process of its own for each repeat of each subject."""

    @property
    def name(self) -> str:
        """As it stands in the results."""

    @property
    def options(self) -> ProgramOptions:
        """How it measures."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """What is measured, one process each."""

    @property
    def result_file(self) -> str:
        """The file in its folder that it writes; pulled after each run when it is there."""

    def files(self, facts: PhoneFacts) -> Mapping[str, Path]:
        """Local files by their name on the phone.

        Raises:
            WrongAbiError: the phone cannot run them.
        """

    def command(self, subject: str, folder: str, number: int) -> str:
        """The shell command of repeat ``number``, run in ``folder`` on the phone."""

    def read(self, subject: str, output: str, result: Path | None) -> Reading:
        """Figures of what it printed and of its result file.

        Raises:
            DeviceError: there are none in it.
        """


def under_mask(options: ProgramOptions, command: str) -> str:
    """The command, kept to the processors of the mask."""
    return f"taskset {options.cpu_mask} {command}" if options.cpu_mask else command
