"""What was measured on phones as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tfpwl.bench.android.results import AndroidResult, PhoneResult
from tfpwl.report import units
from tfpwl.report.sheets import Sheet


@dataclass(frozen=True, slots=True)
class _Kind:
    """A table of the subjects that have the metric ``key``; its columns are headings by metric."""

    title: str
    key: str
    columns: Mapping[str, str]


# What is in none of them is in JSON and CSV.
_KINDS = (
    _Kind("start, ms", "create_ms", {"create_ms": "create", "first_ms": "first answer", "total_ms": "both"}),
    _Kind("answers, everything loaded, ms", "p99_ms",
          {"median_ms": "median", "p90_ms": "p90", "p99_ms": "p99", "chain_ratio": "chain / this"}),
    _Kind("upgrade, ms", "upgrade_ms", {"upgrade_ms": "took", "num_answers": "answers meanwhile",
                                        "worst_ms": "worst", "worst_ratio": "worst ratio"}),
    _Kind("memory", "peak_rss_bytes", {"student_pss_bytes": "PSS, student", "complete_pss_bytes": "PSS, complete",
                                       "peak_rss_bytes": "peak RSS"}),
    _Kind("benchmark_model, ms", "avg_ms",
          {"init_ms": "init", "first_ms": "first", "avg_ms": "average", "median_ms": "median", "p95_ms": "p95",
           "std_ms": "std", "overall_bytes": "memory"}),
)  # fmt: skip


def android_sheets(result: AndroidResult) -> tuple[Sheet, ...]:
    """Tables of medians per phone that was measured, and one of the phones that failed.

    Example:
        >>> for sheet in android_sheets(result):                             # doctest: +SKIP
        ...     console.print(rich_table(sheet))
    """
    return tuple(_sheets(result))


def _sheets(result: AndroidResult) -> Iterator[Sheet]:
    for phone in result.phones:
        yield from _phone_sheets(phone)
    failed = [(phone, phone.failure) for phone in result.phones if phone.failure is not None]
    if failed:
        rows = tuple((phone.serial, failure.kind, failure.message) for phone, failure in failed)
        yield Sheet("Phones that failed", ("", "error", "what happened"), rows)


def _phone_sheets(phone: PhoneResult) -> Iterator[Sheet]:
    medians = phone.medians()
    for kind in _KINDS:
        of_kind = {subject: metrics for subject, metrics in medians.items() if kind.key in metrics}
        columns = [metric for metric in kind.columns if any(metric in metrics for metrics in of_kind.values())]
        if of_kind:
            rows = tuple(
                (subject, *(_value(metric, metrics.get(metric)) for metric in columns))
                for subject, metrics in sorted(of_kind.items())
            )
            title = f"{phone.serial}: {kind.title}; medians of {1 + max(run.number for run in phone.runs)}"
            yield Sheet(title, ("", *(kind.columns[metric] for metric in columns)), rows)


def describe_phone(phone: PhoneResult) -> str:
    """A phone in a few words."""
    facts = phone.facts
    if facts is None:
        return phone.serial
    memory = "" if facts.memory_bytes is None else f", {units.byte_size(facts.memory_bytes)}"
    api = "" if facts.api is None else f", API {facts.api}"
    return f"{phone.serial}: {facts.manufacturer} {facts.model}, {facts.soc}, {', '.join(facts.abis[:1])}{api}{memory}"


def _value(metric: str, value: float | None) -> str:
    if value is None:
        return units.NOT_MEASURED
    if metric.endswith("_bytes"):
        return units.byte_size(round(value))
    if metric.startswith("num_"):
        return f"{value:,.0f}"
    return f"{value:.2f}" if metric.endswith("_ratio") else units.milliseconds(value).removesuffix(" ms")
