"""The trials of a tier's search as a table: what was tried, what it costs, why it was taken or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tfpwl.report import units
from tfpwl.report.sheets import Sheet


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One configuration that a search tried.

    Attributes:
        number: from 1.
        choices: values by dotted key of the pipeline.
        rung: of the precision ladder, as which it was measured, or would come nearest; None where it cannot be built.
        bundle_bytes, resident_bytes: as of a tier; None where it cannot be built.
        latency_ms: median answer of the all-teacher mix.
        accuracy: of the all-teacher mix on the validation images, fraction 0..1; None where it was not trained.
        misses: what it does not keep, in words; nothing where it keeps every limit and gate.
    """

    number: int
    choices: Mapping[str, Any]
    rung: str | None
    bundle_bytes: int | None
    resident_bytes: int | None
    latency_ms: float | None
    accuracy: float | None
    misses: tuple[str, ...]

    @property
    def was_trained(self) -> bool:
        """Whether it was, rather than rejected by what it would take."""
        return self.accuracy is not None

    @property
    def verdict(self) -> str:
        """Whether it keeps everything, and what it does not keep."""
        verdict = "; ".join(self.misses) if self.misses else "keeps all"
        return verdict if self.was_trained else f"not trained: {verdict}"

    @property
    def described(self) -> str:
        """Number and choices, for a sentence."""
        return f"trial {self.number} ({', '.join(f'{key} {_value(value)}' for key, value in self.choices.items())})"


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """A search.

    Attributes:
        tier: that it was for.
        trials: in their order, at least one.
        chosen: number of the trial that was taken, or came nearest.
    """

    tier: str
    trials: tuple[TrialRecord, ...]
    chosen: int

    @property
    def title(self) -> str:
        """What was tried, in a line."""
        trained = sum(trial.was_trained for trial in self.trials)
        return f"{len(self.trials)} trials, {trained} of them trained; accuracy on the validation images"


def search_sheet(search: SearchRecord) -> Sheet:
    """A row per trial, in their order; the chosen one with →."""
    rows = tuple(trial_cells(trial, chosen=trial.number == search.chosen) for trial in search.trials)
    return Sheet(f"{search.tier}: {search.title}", search_header(search), rows)


def search_header(search: SearchRecord) -> tuple[str, ...]:
    """The columns of :func:`trial_cells`."""
    return ("trial", *search.trials[0].choices, "files", "bytes", "memory", "answer", "accuracy", "verdict")


def trial_cells(trial: TrialRecord, *, chosen: bool) -> tuple[str, ...]:
    """A trial as text."""
    return (
        f"{'→ ' if chosen else ''}{trial.number}",
        *map(_value, trial.choices.values()),
        trial.rung or units.NOT_MEASURED,
        _or_nothing(trial.bundle_bytes, units.byte_size),
        _or_nothing(trial.resident_bytes, units.byte_size),
        units.milliseconds(trial.latency_ms),
        units.percent(trial.accuracy),
        trial.verdict,
    )


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _or_nothing(value: int | None, shown: Callable[[int], str]) -> str:
    return units.NOT_MEASURED if value is None else shown(value)
