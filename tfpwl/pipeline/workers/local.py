"""Workers on this machine: processes, as many as its processors and its memory allow."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

from tfpwl.pipeline.workers.task import TASK_BYTES, Place, Task, WorkerLost


class LocalWorkers:
    """Processes of this machine; each imports TensorFlow once and does one task after another.

    Args:
        count: how many; by default one per processor, as far as each has 2 GiB of the memory that is free now.

    Example:
        >>> with LocalWorkers(2) as workers:                                      # doctest: +SKIP
        ...     run_tasks([Task("say", print, ("hello",))], workers)
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = max(1, count if count is not None else min(_processors(), _free_bytes() // TASK_BYTES))
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # Not forked: TensorFlow's threads would be missing in the child, which then waits for them for ever.
        return ProcessPoolExecutor(
            self.count, multiprocessing.get_context("spawn"), initializer=Place.here().enter
        )  # fmt: skip

    def submit(self, task: Task) -> Future[object]:
        try:
            inner = self._pool.submit(task.work, *task.arguments)
        except BrokenProcessPool:
            # One lost process ends a pool, and all that it had begun; run_tasks asks for those again.
            self._pool = self._start()
            inner = self._pool.submit(task.work, *task.arguments)
        outer: Future[object] = Future()
        inner.add_done_callback(lambda finished: _hand_on(finished, outer))
        return outer

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


def _hand_on(inner: Future[object], outer: Future[object]) -> None:
    if inner.cancelled() or not outer.set_running_or_notify_cancel():
        return
    error = inner.exception()
    if isinstance(error, BrokenProcessPool):
        outer.set_exception(WorkerLost("a process of this machine was ended"))
    elif error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(inner.result())


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _free_bytes() -> int:
    """Memory that new processes can take; all there is, where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
