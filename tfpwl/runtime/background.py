"""Threads that work beside answers: of low priority where that is possible, and no obstacle to the process's end."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable

_LOGGER = logging.getLogger(__name__)

# Of a thread of low priority: a fifth of the time that an answer's thread gets where both want one core. Not the
# lowest one: it needs Python's lock for moments, and an answer would wait while it does not get to run.
_NICE = 7


class Worker(threading.Thread):
    """Works in the background. A type of its own, so that workers do not keep one another from ending."""

    def __init__(self, run: Callable[[], None], name: str, *, is_low: bool) -> None:
        # Not a daemon: at exit Python kills daemons inside native code, which can abort the process. Its work looks
        # at process_ends() between two steps instead.
        super().__init__(name=name, daemon=False)
        self._work = run
        self._is_low = is_low

    def run(self) -> None:
        if self._is_low:
            _lower_own_priority()
        self._work()


def process_ends() -> bool:
    """Whether the main thread has ended and nobody but our own workers keeps the process alive."""
    if threading.main_thread().is_alive():
        return False
    return not any(
        thread.is_alive() and not thread.daemon and not isinstance(thread, Worker) for thread in threading.enumerate()
    )


def _lower_own_priority() -> None:
    """Linux counts threads as processes here; elsewhere the whole process would be slowed down."""
    if not sys.platform.startswith("linux"):
        return
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    except OSError as exc:
        _LOGGER.info("The work in the background runs with the normal priority: %s", exc)
