"""What a progressive model tells about itself: states, changes, and who listens."""

from __future__ import annotations

import enum
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tfpwl.errors import BundleError, ClosedError, ContractError, IntegrityError, OutOfMemoryError, TfpwlError
from tfpwl.mix import STUDENT, Mix

_LOGGER = logging.getLogger(__name__)


class State(enum.Enum):
    """What a model is doing; in every state but ``CLOSED`` it answers."""

    READY = "ready"  # answers with a mix that has student groups; nothing is under way
    UPGRADING = "upgrading"  # answers while teacher groups load
    COMPLETE = "complete"  # answers with the whole teacher
    FAILED = "failed"  # answers with the last good mix; the last change did not work out
    CLOSED = "closed"  # gave its memory back


class Priority(enum.Enum):
    """How an upgrade in the background competes with answers for the processor."""

    LOW = "low"
    NORMAL = "normal"


class ErrorCode(enum.Enum):
    """Why a change failed, in words that are the same on every platform."""

    INTEGRITY = "integrity"  # a file is missing, cannot be read, or is not the one of the manifest
    CONTRACT = "contract"  # a file does not fit the manifest
    BUNDLE = "bundle"  # anything else about the bundle
    OUT_OF_MEMORY = "out_of_memory"
    CLOSED = "closed"
    ENGINE = "engine"  # the engine refuses a file, or fails

    @classmethod
    def of(cls, error: TfpwlError) -> ErrorCode:
        """The code of an error.

        Example:
            >>> ErrorCode.of(IntegrityError("g0.teacher.tflite: gone"))
            <ErrorCode.INTEGRITY: 'integrity'>
        """
        return next((code for kind, code in _CODES if isinstance(error, kind)), cls.ENGINE)


_CODES = (
    (IntegrityError, ErrorCode.INTEGRITY),
    (ContractError, ErrorCode.CONTRACT),
    (BundleError, ErrorCode.BUNDLE),
    (OutOfMemoryError, ErrorCode.OUT_OF_MEMORY),
    (ClosedError, ErrorCode.CLOSED),
)


@dataclass(frozen=True, slots=True)
class Change:
    """The mix and the state after a change; ``error`` is the reason when the state is ``FAILED``."""

    mix: Mix
    state: State
    error: TfpwlError | None = None

    @property
    def code(self) -> ErrorCode | None:
        """The error's code; None where there is no error."""
        return None if self.error is None else ErrorCode.of(self.error)


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
