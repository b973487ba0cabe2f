"""What was measured on phones, as plain data, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tfpwl.bench.android.device import PhoneFacts
from tfpwl.bench.android.program import Figures

FORMAT = "tfpwl-android-bench"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Run:
    """One process of the program on one phone.

    Attributes:
        subject: what it measured.
        number: of its repeat, from 0.
        place: in the order of that phone's runs, from 0.
        celsius: the phone's temperature right before; None where it does not tell.
        waited_s: for it to cool down.
        figures: subject -> metric -> value.
        told: everything that the program told.
    """

    subject: str
    number: int
    place: int
    celsius: float | None
    waited_s: float
    figures: Figures
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a phone was not measured to the end: the error's class, its message, the tombstone of a crash."""

    kind: str
    message: str
    tombstone: str = ""


@dataclass(frozen=True, slots=True)
class PhoneResult:
    """Of one phone; ``facts`` is None where it could not even be asked, ``failure`` where all went well."""

    serial: str
    facts: PhoneFacts | None
    runs: tuple[Run, ...]
    failure: Failure | None = None
    notes: tuple[str, ...] = ()

    def medians(self) -> dict[str, dict[str, float]]:
        """Per subject and metric, the median over the repeats."""
        collected: dict[str, dict[str, list[float]]] = {}
        for run in sorted(self.runs, key=lambda run: (run.number, run.place)):
            for subject, metrics in run.figures.items():
                for metric, value in metrics.items():
                    collected.setdefault(subject, {}).setdefault(metric, []).append(value)
        return {
            subject: {metric: statistics.median(values) for metric, values in metrics.items()}
            for subject, metrics in collected.items()
        }


@dataclass(frozen=True, slots=True)
class AndroidResult:
    """Of one call: the program, its options, and every phone."""

    program: str
    options: Mapping[str, Any]
    phones: tuple[PhoneResult, ...]

    @property
    def complete(self) -> bool:
        """Whether every phone was measured to the end."""
        return all(phone.failure is None for phone in self.phones)

    def to_json(self) -> str:
        """Everything, what the programs told included."""
        fields = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(fields, sort_keys=True, indent=1, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """A line per figure of each run."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(("serial", "model", "subject", "repeat", "place", "celsius", "metric", "value"))
        for phone in self.phones:
            model = phone.facts.model if phone.facts else ""
            for run in phone.runs:
                for subject, metrics in run.figures.items():
                    head = (phone.serial, model, subject, run.number, run.place, run.celsius)
                    lines.writerows((*head, metric, value) for metric, value in metrics.items())
        return text.getvalue()
