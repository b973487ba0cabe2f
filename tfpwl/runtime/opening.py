"""The first chain of a model while its files load: answers run as far as they have come."""

from __future__ import annotations

import _thread
import atexit
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from tfpwl.bundle import FileEntry
from tfpwl.errors import ClosedError, EngineError, TfpwlError
from tfpwl.runtime.engine import Array, ModelBytes
from tfpwl.runtime.loader import Step

Read = Callable[[FileEntry], ModelBytes]
Load = Callable[[FileEntry, ModelBytes], Step]
Ended = Callable[[tuple[Step, ...], TfpwlError | None], None]


_LOOK_AGAIN_S = 0.1


class Superseded(Exception):
    """The chain that was opened answers by now; no fault, so no TfpwlError."""


class _Latch:
    """Opens once. Ctrl-C in the middle of an Event can leave its lock held, and others wait for ever."""

    __slots__ = ("_lock", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def open(self) -> None:
        self.is_open = True
        with suppress(RuntimeError):  # it is open already
            self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_open:
            left = _LOOK_AGAIN_S if deadline is None else min(_LOOK_AGAIN_S, deadline - time.monotonic())
            if left <= 0:
                return False
            # Now and then: a Ctrl-C between these two keeps the lock from the next one.
            if self._lock.acquire(timeout=left):
                with suppress(RuntimeError):
                    self._lock.release()
        return True


class Opening:
    """Files that load, and what runs them meanwhile.

    A thread of its own begins with the largest file, which often takes as long as the others together. Who waits for
    files, as each answer does, loads those that nobody has begun, from the smallest on, and runs what is there while
    the other one packs.
    """

    def __init__(
        self, entries: Sequence[FileEntry], read: Read, load: Load, ended: Ended, afterwards: Callable[[], None]
    ) -> None:
        """Nothing is loaded before :meth:`start`.

        Args:
            entries: the files in running order.
            read: gives the content of one, checked.
            load: loads one with that content.
            ended: told once, by the thread that loads last: the loaded files in running order, or none and the error.
            afterwards: called by that thread when nobody waits any more; it may wait for this opening.
        """
        self._entries = tuple(entries)
        self._read = read
        self._load = load
        self._tell = ended
        self._afterwards = afterwards
        # Guards what follows; held for a few assignments.
        self._guard = _thread.allocate_lock()
        self._unread = sorted(entries, key=lambda entry: entry.bytes)
        # One for each call of _load_all that has begun a file.
        self._loading: set[object] = set()
        self._steps: dict[str, Step] = {}
        self._error: TfpwlError | None = None
        self._is_over = False
        # Held while a file is loaded: LiteRT packs the weights of one model at a time, whatever its environment, and
        # where two of its threads meet for the first time it sleeps for 3 ms, to measure the processor's clock.
        self._packing = _thread.allocate_lock()
        self._arrived = {entry.file: _Latch() for entry in entries}
        self._ended = _Latch()

    def start(self) -> None:
        """Begin to load in another thread; where the system has none left, load here.

        Not by :class:`threading.Thread`, whose ``start`` takes 0.3 ms of a start of 5 ms.
        """
        # Python kills such a thread at the process's end, in the middle of native code, which can abort the process.
        atexit.register(self.cancel)
        try:
            _thread.start_new_thread(self._load_all, (-1,))
        except RuntimeError:
            self._load_all(-1)
            return
        # A new thread begins on this processor, and waited here for 1.4 ms until this thread first blocked. Now it
        # blocks at once, and goes on where the system finds a free processor.
        time.sleep(1e-6)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every file is loaded; without a timeout, help with it.

        Args:
            timeout: in seconds; None waits as long as it takes.

        Returns:
            False when the time was over first.

        Raises:
            TfpwlError: a file could not be loaded.
        """
        if timeout is None:
            self._load_all(0)
        if not self._ended.wait(timeout):
            return False
        if self._error is not None:
            # Raised anew for everybody who asks; its traceback would grow each time.
            raise self._error.with_traceback(None)
        return True

    def cancel(self) -> None:
        """Begin no more files, and wait until no thread loads any."""
        with self._guard:
            self._unread.clear()
            self._error = self._error or ClosedError(
                "This ProgressiveModel was closed while it was opened; open the bundle again with "
                "ProgressiveModel.open()."
            )
        self._leave(None)
        self._ended.wait()

    def __call__(self, x: Array) -> Array:
        """Run ``x`` through all groups: those that are there while another thread packs, the others when they come.

        Raises:
            Superseded: everything was loaded before this answer began.
            TfpwlError: a file could not be loaded.
        """
        # Of this answer alone: an upgrade that comes soon gives back what nobody holds any more.
        steps, left = self._steps, deque(entry.file for entry in self._entries)

        def run_loaded() -> None:
            nonlocal x
            while left and (step := steps.get(left[0])) is not None:
                x = step.group(x)
                left.popleft()

        def use_the_time() -> None:
            # A group that cannot run is this answer's trouble, below, and not that of the files that load.
            with suppress(TfpwlError):
                run_loaded()

        self._load_all(0, use_the_time)
        run_loaded()
        while left:
            self._arrived[left[0]].wait()
            if left[0] not in steps:
                del steps  # or who keeps the error keeps the groups
                self.wait()
                raise Superseded
            run_loaded()
        return x

    def is_busy(self) -> bool:
        """No: nothing waits for the end of these answers, whose groups the next chain has, too."""
        return False

    def _load_all(self, which: int, meanwhile: Callable[[], None] | None = None) -> None:
        """Load what nobody has begun, from one end of the sizes on.

        While another thread packs, ``meanwhile`` is done and what comes next is read.
        """
        begun: deque[tuple[FileEntry, ModelBytes]] = deque()
        mine = object()
        # Also after Ctrl-C in the middle: others wait for these files.
        error: TfpwlError | None = EngineError("The load of the bundle was interrupted. Open it again.")
        try:
            while (entry := self._take(which, mine)) is not None or begun:
                if entry is not None:
                    begun.append((entry, self._read(entry)))
                if self._packing.locked():
                    if meanwhile is not None:
                        meanwhile()
                    if self._unread:
                        continue
                self._load_one(*begun.popleft())
            error = None
        except TfpwlError as exc:
            error = exc
        finally:
            if mine in self._loading:
                try:
                    self._leave(mine, error)
                except KeyboardInterrupt:
                    # It came before anything was said: others would wait for ever.
                    self._leave(mine, error)
                    raise

    def _load_one(self, entry: FileEntry, content: ModelBytes) -> None:
        with self._packing:
            self._steps[entry.file] = self._load(entry, content)
        self._arrived[entry.file].open()

    def _take(self, which: int, whose: object) -> FileEntry | None:
        with self._guard:
            if not self._unread:
                return None
            # First, as Ctrl-C may come between the two: a file that is lost must not be waited for.
            self._loading.add(whose)
            return self._unread.pop(which)

    def _leave(self, whose: object, error: TfpwlError | None = None) -> None:
        with self._guard:
            self._loading.discard(whose)
            if error is not None:
                self._error = self._error or error
                self._unread.clear()
            if self._unread or self._loading or self._is_over:
                return
            self._is_over = True
        self._end()

    def _end(self) -> None:
        try:
            if self._error is None:
                try:
                    self._tell(tuple(self._steps[entry.file] for entry in self._entries), None)
                except TfpwlError as exc:
                    self._error = exc
            self._steps = {}
            if self._error is not None:
                # Who keeps the error keeps its frames; they should not keep files and groups, too.
                reason: BaseException | None = self._error
                while reason is not None:
                    traceback.clear_frames(reason.__traceback__)
                    reason = reason.__cause__
                self._tell((), self._error)
        finally:
            self._ended.open()
            for arrived in self._arrived.values():
                arrived.open()
            atexit.unregister(self.cancel)
        self._afterwards()
