"""Tasks with what they need, done in their order by as many workers as there are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from tfpwl.errors import WorkerError

# What a process that trains with TensorFlow takes, measured: 1.1 to 1.6 GB for the pairs of `pipelines/`.
TASK_BYTES = 2 << 30
# A task that loses its worker this often is what kills it, most likely for its memory.
MAX_TRIES = 3
OnTask = Callable[[str, "Task"], None]


@dataclass(frozen=True)
class Task:
    """A piece of work for another process.

    Attributes:
        name: for people, unique.
        work: a function that can be imported by its name; done twice, it leaves what it leaves done once.
        arguments: that can be pickled.
        needs: names of the tasks that must be done before.
        memory_bytes: what it may take.
    """

    name: str
    work: Callable[..., object]
    arguments: tuple[Any, ...] = ()
    needs: frozenset[str] = frozenset()
    memory_bytes: int = TASK_BYTES


class WorkerLost(Exception):
    """The process that did a task is gone; no fault of the task, so no TfpwlError."""


class Workers(Protocol):
    """Processes that do tasks; a context manager."""

    def submit(self, task: Task) -> Future[object]:
        """Begin a task as soon as a worker is free. The future raises WorkerLost where that was lost."""
        ...

    def __enter__(self) -> Workers: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class Place:
    """Where the calling process stands, so that relative paths and a user's modules are found from elsewhere, too."""

    folder: str
    modules: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def here(cls) -> Place:
        libraries = {key: value for key, value in os.environ.items() if key.startswith(("KERAS_", "TF_"))}
        return cls(os.getcwd(), tuple(sys.path), tuple(libraries.items()))

    def enter(self) -> None:
        """Make this process stand there."""
        os.chdir(self.folder)
        os.environ.update(self.environment)
        sys.path.extend(path for path in self.modules if path not in sys.path)


def run_tasks(tasks: Iterable[Task], workers: Workers, on_task: OnTask = lambda what, task: None) -> None:
    """Do all tasks, each once everything that it needs is done.

    A task whose worker is lost is done again, three times at most. The first task that fails ends it all: those under
    way are waited for, no other one begins.

    Args:
        tasks: in any order.
        workers: who do them.
        on_task: called with ``"started"``, ``"lost"`` or ``"finished"`` and the task.

    Raises:
        WorkerError: a task lost its worker three times; or tasks need one another in a circle.
        BaseException: what the first failing task raised.
    """
    waiting = {task.name: task for task in tasks}
    _check(waiting)
    running: dict[Future[object], Task] = {}
    tries: dict[str, int] = {}
    done: set[str] = set()
    try:
        while waiting or running:
            for task in [task for task in waiting.values() if task.needs <= done]:
                del waiting[task.name]
                tries[task.name] = tries.get(task.name, 0) + 1
                on_task("started", task)
                running[workers.submit(task)] = task
            # Again and again: Python sees a Ctrl-C that came just before a wait only when that wait ends.
            for future in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    future.result()
                except WorkerLost as exc:
                    if tries[task.name] == MAX_TRIES:
                        raise WorkerError(
                            f"{task.name} lost its worker {MAX_TRIES} times ({exc}). Most likely the machine has not "
                            "the memory for it; give the build fewer workers."
                        ) from exc
                    on_task("lost", task)
                    waiting[task.name] = task
                else:
                    done.add(task.name)
                    on_task("finished", task)
    finally:
        for future in running:
            future.cancel()


def _check(tasks: dict[str, Task]) -> None:
    """That an order exists; without one the workers would wait for ever."""
    left: Collection[Task] = tasks.values()
    reached: set[str] = set()
    while left:
        ready = {task.name for task in left if task.needs <= reached}
        if not ready:
            names = ", ".join(f"{task.name} (needs {', '.join(sorted(task.needs - reached))})" for task in left)
            raise WorkerError(f"Nothing can begin: {names}.")
        reached |= ready
        left = [task for task in left if task.name not in reached]
