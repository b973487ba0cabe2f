"""Changing the mix of a model that answers meanwhile: one change at a time, cancelled by the next one."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Sequence

from tfpwl.errors import ClosedError, EngineError, TfpwlError
from tfpwl.mix import Mix
from tfpwl.runtime.background import Worker, process_ends
from tfpwl.runtime.changes import Change, Observers, Priority, State, state_at_rest
from tfpwl.runtime.loader import Chain, ChainLoader, OverBudget, Step
from tfpwl.runtime.memory import trim
from tfpwl.runtime.opening import Opening

_LOGGER = logging.getLogger(__name__)

_LONGEST_ANSWER_S = 1.0

Plan = Callable[[Chain], tuple[Mix, ...]]


class Job:
    """One change: the mixes to walk through, and how it ended."""

    __slots__ = ("budget", "done", "ended", "error", "mixes", "thread", "wish")

    def __init__(self, mixes: tuple[Mix, ...], wish: Hashable, budget: int | None) -> None:
        self.mixes = mixes
        self.wish = wish
        self.budget = budget
        self.error: TfpwlError | None = None
        # ended: will change nothing more. done: told its observers so, too.
        self.ended = not mixes
        self.done = threading.Event()
        self.thread = threading.current_thread()


class Switcher:
    """Owns the chain of the moment. ``chain`` is replaced by one assignment, so readers need no lock."""

    def __init__(self, loader: ChainLoader, first: Mix, budget: int | None) -> None:
        """Load the files of ``first``: now with a budget, else in another thread (:meth:`settle`)."""
        self.state = state_at_rest(first)
        self.last_error: TfpwlError | None = None
        self.observers = Observers()
        self._loader = loader
        # Held for a few assignments, never during a load.
        self._guard = threading.Lock()
        # Held during a load: two changes at once would need the memory of both.
        self._loading = threading.Lock()
        # Only this job may commit what it loaded; putting another one here cancels it.
        self._job: Job | None = None
        self._workers: list[Worker] = []
        # Until the first chain is there.
        self._opening: Opening | None = None
        if budget is not None:
            self.chain = loader.build(first, budget=budget)
        else:
            self._opening = Opening(
                loader.files(first), loader.read, loader.load, self._end_opening, self.observers.deliver
            )
            self.chain = Chain(first, (), self._opening)
            self._opening.start()

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until the first chain is there; False when ``timeout`` (seconds) was over first.

        Raises:
            TfpwlError: a file of it cannot be loaded.
        """
        opening = self._opening
        return opening is None or opening.wait(timeout)

    def start_upgrade(self, plan: Plan, wish: Hashable, priority: Priority, budget: int | None) -> None:
        """Walk through ``plan(chain of the moment)`` in another thread, unless a job of this ``wish`` does already."""
        self.settle()
        with self._guard:
            if self._job is not None and not self._job.ended and self._job.wish == wish:
                return
            job = self._begin_upgrade(plan, wish, budget)
            worker = Worker(lambda: self._run(job), "tfpwl-upgrade", is_low=priority is Priority.LOW)
            job.thread = worker
            self._workers = [*(thread for thread in self._workers if thread.is_alive()), worker]
            self._start(worker)

    def upgrade(self, plan: Plan, budget: int | None) -> None:
        """Walk through ``plan(chain of the moment)`` in this thread; raise what made it fail."""
        self.settle()
        with self._guard:
            job = self._begin_upgrade(plan, object(), budget)
        self._run(job)
        if job.error is not None:
            raise job.error

    def downgrade(self, choose: Callable[[Mix], Mix]) -> None:
        """Go to ``choose(mix of the moment)`` in this thread; raise what made it fail."""
        self.settle()
        with self._guard:
            start = self._open_chain().mix
            job = self._replace_job((choose(start),), object(), state_at_rest(start), None)
        self._run(job)
        if job.error is not None:
            raise job.error

    def wait(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self.settle(timeout):
            return False
        while (job := self._job) is not None and not job.done.is_set():
            if job.thread is threading.current_thread():
                raise RuntimeError("wait() was called by a callback of the change that it would wait for.")
            if not job.done.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
                return False
        return True

    def close(self) -> None:
        with self._guard:
            self._job = None
            previous: Chain | None = self.chain
            self.chain = Chain(self.chain.mix, (), None)
            self._set_state(State.CLOSED)
            workers, self._workers = self._workers, []
            opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
        for worker in workers:
            if worker is not threading.current_thread():
                worker.join()
        self.observers.deliver()
        previous = None  # noqa: F841  # the last reference, if no answer is running
        trim()

    def _end_opening(self, steps: Sequence[Step], error: TfpwlError | None) -> None:
        """Let the loaded files answer by themselves; without them the model has failed, and keeps ``_opening``."""
        chain = None if error is not None else self._loader.connect(self.chain.mix, steps)
        with self._guard:
            if self.state is State.CLOSED:
                return
            if chain is not None:
                self.chain, self._opening = chain, None
            else:
                self.last_error = error
                self._set_state(State.FAILED, error)

    def _open_chain(self) -> Chain:
        if self.state is State.CLOSED:
            raise closed_error()
        return self.chain

    def _begin_upgrade(self, plan: Plan, wish: Hashable, budget: int | None) -> Job:
        chain = self._open_chain()
        mixes = plan(chain)
        return self._replace_job(mixes, wish, State.UPGRADING if mixes else state_at_rest(chain.mix), budget)

    def _replace_job(self, mixes: tuple[Mix, ...], wish: Hashable, state: State, budget: int | None) -> Job:
        job = self._job = Job(mixes, wish, budget)
        self.last_error = None
        self._set_state(state)
        return job

    def _set_state(self, state: State, error: TfpwlError | None = None) -> None:
        if state is not self.state:
            self.state = state
            self.observers.put(Change(self.chain.mix, state, error))

    def _start(self, worker: Worker) -> None:
        try:
            worker.start()
        except RuntimeError as exc:
            self._job = None
            self._workers.remove(worker)
            self.last_error = EngineError(f"Cannot start a thread for the upgrade: {exc}.")
            self._set_state(State.FAILED, self.last_error)
            raise self.last_error from exc

    def _run(self, job: Job) -> None:
        try:
            self.observers.deliver()
            for mix in job.mixes:
                if not self._step(job, mix):
                    break
        except OverBudget as exc:
            _LOGGER.info("The upgrade stops: %s", exc)
        except TfpwlError as exc:
            self._fail(job, exc)
        finally:
            # Also when Ctrl-C ends an upgrade in the foreground, or the process ends under one in the background.
            self._settle(job)
            job.done.set()

    def _step(self, job: Job, mix: Mix) -> bool:
        """Load what ``mix`` needs and let it answer; False when the job was cancelled."""
        with self._loading:
            # A call of its own: what it held is given back when it returns, before another change may load.
            if not self._swap(job, mix):
                return False
            trim()
        self.observers.deliver()
        return True

    def _swap(self, job: Job, mix: Mix) -> bool:
        if not self._may_commit(job):
            return False
        previous = self.chain
        # The first run is the slow one; an answer should not wait for it.
        chain = self._loader.build(mix, previous, warm_up=True, budget=job.budget)
        with self._guard:
            if not self._may_commit(job):
                return False
            self.chain = chain
            if mix == job.mixes[-1]:
                job.ended = True
                self.state = state_at_rest(mix)
            self.observers.put(Change(mix, self.state))
        # Who lets go of a group last gives its memory back, which takes milliseconds: not an answer's thread.
        _wait_until_idle(previous)
        return True

    def _may_commit(self, job: Job) -> bool:
        return self._job is job and not process_ends()

    def _settle(self, job: Job) -> None:
        """Bring a job that ended before its last mix to rest where it is."""
        with self._guard:
            if self._job is not job or job.ended:
                return
            job.ended = True
            self._set_state(state_at_rest(self.chain.mix))
        self.observers.deliver()

    def _fail(self, job: Job, error: TfpwlError) -> None:
        # The frames hold files and groups, whose memory would stay for as long as last_error does.
        reason: BaseException | None = error
        while reason is not None:
            traceback.clear_frames(reason.__traceback__)
            reason = reason.__cause__
        with self._guard:
            job.error, job.ended = error, True
            if self._job is not job:
                return
            self.last_error = error
            self._set_state(State.FAILED, error)
            mix = self.chain.mix
        _LOGGER.warning("The model stays on mix %s: %s", mix, error)
        self.observers.deliver()


def closed_error() -> ClosedError:
    """What a closed model raises."""
    return ClosedError("This ProgressiveModel was closed; open the bundle again with ProgressiveModel.open().")


def _wait_until_idle(chain: Chain) -> None:
    deadline = time.monotonic() + _LONGEST_ANSWER_S
    while chain.run is not None and chain.run.is_busy() and time.monotonic() < deadline:
        time.sleep(0.0005)
