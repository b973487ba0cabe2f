"""Spreading what builds have to train over other processes, each artifact once.

Only stages up to the export are spread. Those behind it measure latencies, which other work on the machine would
spoil; they run afterwards in the process that builds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfpwl.config import PipelineConfig
from tfpwl.pipeline.reporter import Reporter, Silent
from tfpwl.pipeline.stage_names import check_stages
from tfpwl.pipeline.store import Store
from tfpwl.pipeline.workers import Task, Workers, run_tasks

if TYPE_CHECKING:
    from tfpwl.pipeline.build import PipelineRun

LAST = "export"


def spread(
    runs: Sequence[PipelineRun],
    workers: Workers,
    *,
    until: str = "evaluate",
    start: str | None = None,
    reporter: Reporter,
) -> None:
    """Make every artifact of ``runs`` up to their exports that is not there yet, as many at once as there are workers.

    Artifacts travel through the store's folder. What two runs share is made once: it has the same key.

    Args:
        runs: with one store; their artifacts are taken from there when they run.
        workers: who make them.
        until: the last stage that is wanted.
        start: as in :func:`tfpwl.pipeline.build`; those artifacts are made anew.
        reporter: hears which stages begin and end; tasks of a tier are called ``<tier> <stage>``.

    Raises:
        ConfigError: a run has no such stage; nothing has begun then.
        TfpwlError: what a task raised.
    """
    for run in runs:
        check_stages(run.config, until, start)
    tasks: dict[Path, Task] = {}
    for run in runs:
        before: Path | None = None
        keys = run.stage_keys()
        stages = list(keys)
        for last in (LAST, until):
            stages = stages[: stages.index(last) + 1] if last in stages else stages
        again = stages[stages.index(start) :] if start in stages else []
        for stage in stages:
            artifact = run.store.path(stage, keys[stage])
            if artifact not in tasks and (stage in again or not run.store.has(stage, keys[stage])):
                name = stage if run.tier is None else f"{run.tier} {stage}"
                needs = frozenset({tasks[before].name} if before in tasks else ())
                tasks[artifact] = Task(
                    name, make_artifact, (run.config, run.store.root, stage, stage in again), needs
                )  # fmt: skip
            before = artifact
    run_tasks(tasks.values(), workers, _Watch(reporter))
    for run in runs:
        run.made.update(tasks)


def make_artifact(config: PipelineConfig, store: Path, stage: str, again: bool) -> None:
    """Make one stage's artifact, in any process; those of the stages before it are there."""
    from tfpwl.pipeline.build import PipelineRun  # noqa: PLC0415 - which imports this module

    run = PipelineRun(config, store.parent, Store(store), store.parent / "bundle", Silent())
    run.run_stages(until=stage, start=stage if again else None)


class _Watch:
    """Tells a reporter of tasks."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._begun: dict[str, float] = {}

    def __call__(self, what: str, task: Task) -> None:
        if what == "started":
            self._begun[task.name] = time.perf_counter()
            self._reporter.started(task.name)
        else:
            taken = time.perf_counter() - self._begun[task.name]
            summary = "by a worker" if what == "finished" else "its worker was lost; once more"
            self._reporter.finished(task.name, taken, summary, cached=False)
