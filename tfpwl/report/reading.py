"""Finding the reports of finished runs on disk."""

from __future__ import annotations

import json
from pathlib import Path

from tfpwl.errors import DataError, MissingDependencyError
from tfpwl.report.build_report import BuildReport
from tfpwl.report.schema import metrics_schema

METRICS_NAME = "metrics.json"
_STAGES = "stages"


def read_reports(run: Path) -> tuple[BuildReport, ...]:
    """The reports of a run: one, or one per tier, the smallest bundle first.

    Raises:
        DataError: there is none, or one cannot be read.
    """
    return tuple(sorted(map(_read, find_metrics(run)), key=lambda report: report.bundle_bytes or 0))


def find_metrics(run: Path) -> tuple[Path, ...]:
    """The ``metrics.json`` of a run: its own, or those of its tiers, which lie at most two folders deeper.

    Raises:
        DataError: there is none.
    """
    if run.is_file():
        return (run,)
    if (run / METRICS_NAME).is_file():
        return (run / METRICS_NAME,)
    below = (*run.glob(f"*/{METRICS_NAME}"), *run.glob(f"*/*/{METRICS_NAME}"))
    # Stages that train leave a file of that name, too, which is no report.
    found = sorted(path for path in below if _STAGES not in path.relative_to(run).parts)
    if not found:
        raise DataError(
            f"There is no report in {run}; expected the folder of a finished `tfpwl build` (its {METRICS_NAME}), or "
            "that file."
        )
    return tuple(found)


def _read(path: Path) -> BuildReport:
    try:
        report = BuildReport.from_json(path.read_bytes())
        _check(report)
    except OSError as exc:
        raise DataError(f"The report {path} cannot be read: {exc}.") from exc
    except DataError as exc:
        raise DataError(f"{path}: {exc}") from exc
    return report


def _check(report: BuildReport) -> None:
    """Hold the report against the schema as this version would write it, whatever version it was read from."""
    try:
        import jsonschema  # noqa: PLC0415
    except ImportError as exc:
        raise MissingDependencyError("Reading reports needs jsonschema: pip install 'tfpwl[train]'") from exc
    try:
        fields = json.loads(report.to_json())
    except ValueError as exc:
        raise DataError(f"The metrics hold what JSON cannot hold: {exc}. Build again.") from exc
    wrong = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(metrics_schema()).iter_errors(fields))
    if wrong is not None:
        raise DataError(f"The metrics break their schema at {wrong.json_path}: {wrong.message}. Build again.")
