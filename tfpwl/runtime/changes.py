"""What a progressive model tells about itself: states, changes, and who listens."""

from __future__ import annotations

import enum
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tfpwl.errors import TfpwlError
from tfpwl.mix import STUDENT, Mix

_LOGGER = logging.getLogger(__name__)


class State(enum.Enum):
    """What a model is doing; in every state but ``CLOSED`` it answers."""

    READY = "ready"  # answers with a mix that has student groups; nothing is under way
    UPGRADING = "upgrading"  # answers while teacher groups load
    COMPLETE = "complete"  # answers with the whole teacher
    FAILED = "failed"  # answers with the last good mix; the last change did not work out
    CLOSED = "closed"  # gave its memory back


@dataclass(frozen=True, slots=True)
class Change:
    """The mix and the state after a change; ``error`` is the reason when the state is ``FAILED``."""

    mix: Mix
    state: State
    error: TfpwlError | None = None


Observer = Callable[[Change], object]


class Observers:
    """Callbacks, told of changes one at a time and in the order of the changes, whatever thread made them."""

    def __init__(self) -> None:
        self._callbacks: tuple[Observer, ...] = ()
        self._changes: deque[Change] = deque()
        self._lock = threading.Lock()
        self._delivering = False

    def add(self, callback: Observer) -> None:
        self._callbacks = (*self._callbacks, callback)

    def put(self, change: Change) -> None:
        """Note a change, without calling anybody: callers hold locks here."""
        self._changes.append(change)

    def deliver(self) -> None:
        """Tell what was noted, unless a thread is telling already; that one goes on until nothing is left.

        A callback that changes the mix itself is therefore called again after it returned, not from within.
        """
        with self._lock:
            if self._delivering:
                return
            self._delivering = True
        try:
            while (change := self._next()) is not None:
                self._call_all(change)
        except BaseException:
            self._delivering = False
            raise

    def _next(self) -> Change | None:
        with self._lock:
            if not self._changes:
                # With the lock held: a change noted later finds nobody telling and is told by its own thread.
                self._delivering = False
                return None
            return self._changes.popleft()

    def _call_all(self, change: Change) -> None:
        for callback in self._callbacks:
            try:
                callback(change)
            except Exception:
                # The app's code: its mistake must neither end the upgrade nor get lost.
                _LOGGER.exception("A callback of on_change failed for %s", change)


def state_at_rest(mix: Mix) -> State:
    """The state of a model that answers with ``mix`` while nothing is under way."""
    return State.READY if STUDENT in mix else State.COMPLETE
