"""From a bundle's files to a chain of loaded groups; groups that stay are shared between chains."""

from __future__ import annotations

import _thread
import queue
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tfpwl.bundle import Bundle, FileEntry
from tfpwl.bundle.faces import Face, faces_of
from tfpwl.errors import ContractError, EngineError, OutOfMemoryError, TfpwlError
from tfpwl.mix import Mix
from tfpwl.runtime.engine import Engine, LoadedGroup, ModelBytes, Runner
from tfpwl.runtime.footprint import loaded_bytes


class Step:
    """A loaded file in a chain. It closes its group when the last chain and the last answer have let go of it."""

    __slots__ = ("__weakref__", "entry", "group")

    def __init__(self, entry: FileEntry, group: LoadedGroup) -> None:
        self.entry = entry
        self.group = group
        weakref.finalize(self, group.close).atexit = False


class Chain(NamedTuple):
    """A mix, its loaded files in running order, and what runs them; never changed, only replaced.

    ``run`` is None once the model is closed. Who runs it holds the chain meanwhile, so that no group is closed
    under it.
    """

    mix: Mix
    steps: tuple[Step, ...]
    run: Runner | None

    @property
    def resident_bytes(self) -> int:
        """What its groups take; those that another chain shares are counted here, too."""
        return sum(step.group.resident_bytes for step in self.steps)


class OverBudget(Exception):
    """The next mix does not fit the budget; no fault, so no TfpwlError."""


class ChainLoader:
    """Builds chains for mixes of one bundle."""

    def __init__(self, bundle: Bundle, engine: Engine, threads: int, in_place: bool = False) -> None:
        self._bundle = bundle
        self._engine = engine
        self._threads = threads
        self._in_place = in_place
        self._faces: dict[str, list[Face]] = {}
        for face in faces_of(bundle.manifest):
            self._faces.setdefault(face.entry.file, []).append(face)

    def build(
        self, mix: Mix, current: Chain | None = None, *, warm_up: bool = False, budget: int | None = None
    ) -> Chain:
        """A chain for ``mix`` that takes over what ``current`` has loaded and loads the rest.

        Args:
            mix: one letter per group of the bundle.
            current: a chain to share loaded files with.
            warm_up: run each new file once. XNNPACK packs weights and touches pages in the first run (100 ms for
                100 MB); an answer should not wait for that.
            budget: bytes that ``current`` and the new files together may take.

        Raises:
            IntegrityError: a file is missing or not what the manifest says.
            ContractError: a file's ends are not what the manifest says.
            OutOfMemoryError: there is not enough memory; or, without ``current``, the mix does not fit the budget.
            OverBudget: a mix that comes after ``current`` does not fit the budget.
            EngineError: the engine cannot load or run a file.
        """
        loaded = {step.entry.file: step for step in current.steps} if current else {}
        entries = self._bundle.chain(mix)
        missing = [entry for entry in entries if entry.file not in loaded]
        if budget is not None:
            new = self._load_within(missing, budget - (current.resident_bytes if current else 0), warm_up)
        elif warm_up:
            # During an upgrade answers need the other core.
            new = [self._load(entry, warm_up) for entry in missing]
        else:
            new = self._load_together(missing)
        loaded.update({step.entry.file: step for step in new})
        steps = tuple(loaded[entry.file] for entry in entries)
        return Chain(mix, steps, self._engine.connect([step.group for step in steps]))

    def _load_together(self, entries: list[FileEntry]) -> list[Step]:
        """Load files while another thread reads, and checks the sums of, the ones that come after.

        That thread begins with the largest file, this one with the smallest, until they meet; what was read beside is
        loaded here, because the library makes one model wait for the other while it packs, and where two of its threads
        meet for the first time it sleeps for 3 ms, to measure the processor's clock.
        """
        unread = deque(sorted(entries, key=lambda entry: entry.bytes))
        ready: queue.SimpleQueue[tuple[FileEntry, ModelBytes | BaseException]] = queue.SimpleQueue()
        reading = _thread.allocate_lock()

        def read_ahead() -> None:
            try:
                while unread:
                    try:
                        entry = unread.pop()
                    except IndexError:
                        return
                    try:
                        ready.put((entry, self._read(entry)))
                    except BaseException as exc:
                        ready.put((entry, exc))
            finally:
                reading.release()

        steps: list[Step] = []
        try:
            _start(read_ahead, reading)
            while len(steps) < len(entries):
                steps.append(self._load_next(unread, ready))
        except BaseException:
            # Who keeps the error keeps this frame; it should not keep the groups, too.
            steps.clear()
            raise
        finally:
            unread.clear()
            with reading:  # until the other thread is done
                pass
        return steps

    def _load_next(
        self, unread: deque[FileEntry], ready: queue.SimpleQueue[tuple[FileEntry, ModelBytes | BaseException]]
    ) -> Step:
        """Load what was read beside; if nothing was, the smallest file that nobody reads yet."""
        try:
            if ready.empty():
                return self._load(unread.popleft())
        except IndexError:
            pass
        entry, content = ready.get()
        if isinstance(content, BaseException):
            raise content
        return self._load(entry, content=content)

    def _load_within(self, entries: list[FileEntry], budget: int, warm_up: bool) -> list[Step]:
        """Load files one after another, as long as they fit: a file is read to know what it takes, then loaded."""
        steps = []
        for entry in entries:
            content = self._read(entry)
            budget -= loaded_bytes(content)
            if budget < 0:
                raise OverBudget(f"{entry.file} would need {-budget} bytes more than the budget allows.")
            steps.append(self._load(entry, warm_up, content))
        return steps

    def _read(self, entry: FileEntry) -> ModelBytes:
        return self._bundle.view(entry) if self._in_place else self._bundle.read(entry)

    def _load(self, entry: FileEntry, warm_up: bool = False, content: ModelBytes | None = None) -> Step:
        try:
            content = self._read(entry) if content is None else content
            group = self._engine.load(content, threads=self._threads, sha256=entry.sha256)
            step = Step(entry, group)
            self._check_faces(entry, group)
            if warm_up:
                group(np.zeros(group.input.shape, group.input.dtype))
        except EngineError as exc:
            raise type(exc)(f"{entry.file}: {exc}") from exc
        except TfpwlError:
            raise
        except MemoryError as exc:
            raise OutOfMemoryError(
                f"{entry.file}: not enough memory to load its {entry.bytes} bytes. Free some and try again."
            ) from exc
        except Exception as exc:
            # An engine is foreign code: whatever it raises must leave the last good mix answering.
            reason = f"{type(exc).__name__}: {exc}"
            raise EngineError(f"{entry.file}: the engine {self._engine.name!r} failed with {reason}") from exc
        return step

    def _check_faces(self, entry: FileEntry, group: LoadedGroup) -> None:
        for face in self._faces[entry.file]:
            found = group.input if face.end == "input" else group.output
            if not face.accepts(found):
                raise ContractError(
                    f"{entry.file}: its {face.end} is {found}, but {face.where} is {face.spec}. "
                    "Export the bundle again."
                )


def _start(work: Callable[[], None], working: _thread.LockType) -> None:
    """Run ``work`` in another thread; it holds ``working`` meanwhile and releases it at its end.

    Not by :class:`threading.Thread`, whose ``start`` takes 0.3 ms of a start of 5 ms. Where there can be no thread,
    because the system has none left or the process ends, nothing runs.
    """
    working.acquire()
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        working.release()
        return
    # A new thread begins on this processor, and waited here for 1.4 ms until this thread first blocked. Now it blocks
    # at once, and goes on where the system finds a free processor.
    time.sleep(1e-6)
