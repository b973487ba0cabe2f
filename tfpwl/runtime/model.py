"""A model that answers at once with its student and grows into its teacher while it keeps answering."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfpwl.bundle import Bundle
from tfpwl.bundle.signing import Key
from tfpwl.bundle.version import check_runtime
from tfpwl.errors import OutOfMemoryError, TfpwlError
from tfpwl.mix import Mix
from tfpwl.runtime.changes import Observer, Priority, State
from tfpwl.runtime.engine import Array, Engine, Gpu
from tfpwl.runtime.engines import make_engine
from tfpwl.runtime.loader import Chain, ChainLoader, OverBudget
from tfpwl.runtime.memory import limit_retention
from tfpwl.runtime.opening import Superseded
from tfpwl.runtime.plan import best_within, check_downgrade, plan_upgrade
from tfpwl.runtime.switcher import Switcher, closed_error


class ProgressiveModel:
    """A bundle, loaded: answers with the mix of the moment, from any number of threads.

    The chain of loaded files is never changed, only replaced by one assignment, so that every answer comes from
    exactly one mix and waits for no lock of ours (of Python's: see InterpreterEngine). A group that fails to load
    leaves the last good mix answering.

    Example:
        >>> with ProgressiveModel.open("bundle/") as model:          # doctest: +SKIP
        ...     first = model.predict(x)                             # the student answers
        ...     model.upgrade()                                      # in the background
        ...     model.wait()
        ...     model.mix
        'TTTT'
    """

    def __init__(
        self, bundle: Bundle, engine: Engine, threads: int, budget_bytes: int | None = None, in_place: bool = False
    ) -> None:
        """Use :meth:`open`, which checks before it loads."""
        self._bundle = bundle
        self._budget = budget_bytes
        # Native threads get the priority of the one that makes them, and the engine's own would keep it for answers.
        self._may_be_low = threads == 1
        self._shape = bundle.manifest.input.shape
        self._dtype = np.dtype(bundle.manifest.input.dtype)
        limit_retention()
        loader = ChainLoader(bundle, engine, threads, in_place)
        try:
            student = Mix.all_student(bundle.manifest.num_groups)
            self._switcher = Switcher(loader, student, budget_bytes)
        except OverBudget as exc:
            raise OutOfMemoryError(f"The student does not fit budget_bytes={budget_bytes}: {exc}") from exc

    @classmethod
    def open(
        cls,
        path: Bundle | str | os.PathLike[str],
        *,
        engine: Engine | str | None = None,
        threads: int | None = None,
        budget_bytes: int | None = None,
        in_place: bool = False,
        public_key: Key | None = None,
        wait: bool = True,
    ) -> ProgressiveModel:
        """Open a bundle and load its student; no teacher file is read.

        Args:
            path: the bundle's folder or pack, or an open bundle. A folder that :func:`tfpwl.bundle.pull` has not
                finished opens once its student is there; upgrades fail on files that are missing until they arrive.
            engine: what loads and runs files, or its name for :func:`make_engine`; the best one here by default, on
                the GPU where the manifest's ``runtime.delegate`` is ``gpu`` and there is one.
            threads: per group; the manifest's ``runtime.threads`` by default.
            budget_bytes: what the loaded files may take, in the sense of :attr:`resident_bytes`, at any time (a swap
                needs the old files and the new ones); upgrades stop at the best mix that fits. No limit by default.
            in_place: read a pack in place through a memory map, which saves a copy of each file; only where nobody
                writes into the pack meanwhile (:meth:`tfpwl.bundle.Bundle.view`).
            public_key: demand a signature of the bundle, by the owner of this Ed25519 key (a PEM file, its content, or
                32 raw bytes); it is checked before anything else is read.
            wait: until the whole student is loaded. With ``False`` this returns once another thread loads it; the
                first answer helps, and runs through the first groups while the last one is packed, so that it is
                there sooner (docs/performance.md). What is wrong with a file then comes from :meth:`predict` and
                whatever else needs the file, :attr:`state` is ``FAILED``, and the bundle must be opened again. With a
                budget it always waits.

        Raises:
            BundleError: the bundle is missing, broken, or needs a newer runtime (its subclasses say which).
            EngineError: the engine cannot load the student.
            OutOfMemoryError: not enough memory for the student, or not within the budget.
            MissingDependencyError: ai-edge-litert is not installed.
        """
        bundle = path if isinstance(path, Bundle) else Bundle.open(path, public_key=public_key)
        if bundle is path and public_key is not None:
            bundle.check_signature(public_key)
        if engine is None:
            wanted = bundle.manifest.runtime.delegate == "gpu"
            engine = make_engine(gpu=Gpu.IF_PRESENT if wanted else Gpu.NEVER)
        elif isinstance(engine, str):
            engine = make_engine(engine)
        check_runtime(bundle.manifest.requires.tflite_runtime, engine.tflite_level)
        threads = bundle.manifest.runtime.threads if threads is None else threads
        model = cls(bundle, engine, threads, budget_bytes, in_place)
        if wait:
            model._switcher.settle()
        return model

    def predict(self, x: Array) -> NDArray[np.float32]:
        """The answer of the mix of the moment.

        Args:
            x: model input of the manifest's ``input.shape`` and dtype, or without the batch axis when the batch is 1;
                :meth:`preprocess` makes it from raw input.

        Returns:
            float32 of the manifest's ``output.shape``, always with the batch axis; it belongs to the caller.

        Raises:
            ValueError: another shape or dtype.
            EngineError: the engine failed, or the model is closed.
        """
        # Taken once: an upgrade may replace it while this answer runs.
        chain = self._switcher.chain
        if chain.run is None:
            raise closed_error()
        fits = isinstance(x, np.ndarray) and x.shape == self._shape and x.dtype == self._dtype
        try:
            return chain.run(x if fits else self._fit(x))
        except Superseded:
            return self.predict(x)

    def _fit(self, x: Array) -> Array:
        x = np.asarray(x)
        if x.dtype != self._dtype:
            raise ValueError(
                f"Received dtype {x.dtype}; expected {self._dtype}. Make model input with model.preprocess(raw)."
            )
        if x.shape == self._shape:
            return x
        if self._shape[0] == 1 and x.shape == self._shape[1:]:
            return x[np.newaxis]
        raise ValueError(
            f"Received shape {list(x.shape)}; expected {list(self._shape)}. A batch axis of 1 may be missing."
        )

    def preprocess(self, raw: ArrayLike) -> Array:
        """Model input from raw input, as the manifest says: ``(raw * scale - mean) / std``.

        Args:
            raw: numbers of the manifest's ``input.shape``; axes of 1 (batch, channels) may be missing.

        Returns:
            An array that :meth:`predict` takes. Where the model takes uint8 images itself, ``raw`` as uint8.

        Raises:
            ValueError: another shape.
        """
        given = np.asarray(raw)
        if [n for n in given.shape if n != 1] != [n for n in self._shape if n != 1]:
            raise ValueError(
                f"Received raw input of shape {list(given.shape)}; expected {list(self._shape)}. "
                "Axes of 1 may be missing."
            )
        return self._bundle.manifest.input.prepare(given.reshape(self._shape))

    @property
    def bundle(self) -> Bundle:
        return self._bundle

    @property
    def mix(self) -> Mix:
        """Which side answers in each group, such as ``TTSS``; after :meth:`close`, the last one."""
        return self._switcher.chain.mix

    @property
    def state(self) -> State:
        return self._switcher.state

    @property
    def last_error(self) -> TfpwlError | None:
        """Why the last change of mix failed; None once another one begins."""
        return self._switcher.last_error

    @property
    def resident_bytes(self) -> int:
        """Bytes that the loaded files take at the moment: their content, packed weights, activations.

        Computed from the files (:mod:`tfpwl.runtime.footprint`), not measured: what else the app does is not in it.
        """
        self._switcher.settle()
        return self._switcher.chain.resident_bytes

    def on_change(self, callback: Observer) -> None:
        """Call ``callback`` with a :class:`Change` after every new mix or state, one at a time and in their order.

        It runs in a thread that changes the mix, so it should be short. It may use this model, but not :meth:`wait`
        for the upgrade that called it. What it raises is logged, not passed on.
        """
        self._switcher.observers.add(callback)

    def upgrade(
        self,
        order: Sequence[int] | None = None,
        until: str | None = None,
        *,
        background: bool = True,
        priority: Priority | str = Priority.LOW,
        budget_bytes: int | None = None,
    ) -> None:
        """Replace student groups by teacher groups, one after another; answers go on meanwhile.

        An upgrade under way is replaced by this one, unless it is the same. A failure ends it: the last good mix
        goes on answering, :attr:`last_error` says why, and another ``upgrade()`` tries again from there.

        Args:
            order: in which groups change sides; the manifest's order by default.
            until: a mix on the way, such as ``"TTSS"``, to stop at; all-teacher by default.
            background: return at once and load in another thread; otherwise load in this one.
            priority: of that thread: ``"low"`` leaves the processor to answers (on Linux, with one thread per group),
                ``"normal"`` is done sooner.
            budget_bytes: as in :meth:`open`, for this upgrade; that one by default. Where it ends the upgrade, the
                state is ``READY`` with the best mix that fits.

        Raises:
            ValueError: ``order`` is no permutation of the groups, ``until`` is not on the way, or there is no such
                priority.
            ClosedError: the model is closed.
            TfpwlError: with ``background=False``, what made the upgrade fail.
        """
        asked = None if order is None else tuple(order)
        budget = self._budget if budget_bytes is None else budget_bytes
        chosen = Priority(priority) if self._may_be_low else Priority.NORMAL
        manifest = self._bundle.manifest

        def plan(chain: Chain) -> tuple[Mix, ...]:
            way = plan_upgrade(manifest, chain.mix, asked, until)
            return way if budget is None else best_within(manifest, chain.mix, way, chain.resident_bytes, budget)

        if background:
            self._switcher.start_upgrade(plan, (asked, until, budget), chosen, budget)
        else:
            self._switcher.upgrade(plan, budget)

    def downgrade(self, mix: str | None = None) -> None:
        """Go back to ``mix`` and give the teacher's memory back; an upgrade under way is cancelled.

        Waits for the load that is under way (of one group at most), then loads the student files that are missing.
        Answers go on meanwhile.

        Args:
            mix: with no teacher group that is not answering now; all-student by default.

        Raises:
            ValueError: ``mix`` has another number of groups, or more of the teacher than answers now.
            IntegrityError: a student file is no longer what it was; the mix stays.
            EngineError: a student file cannot be loaded; the mix stays.
            ClosedError: the model is closed.
        """
        manifest = self._bundle.manifest
        wanted = Mix.all_student(manifest.num_groups) if mix is None else mix
        self._switcher.downgrade(lambda start: check_downgrade(manifest, start, wanted))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no change of mix is under way; :attr:`state` then says how it ended.

        Args:
            timeout: in seconds; None waits as long as it takes.

        Returns:
            False when the time was over first.
        """
        return self._switcher.wait(timeout)

    def close(self) -> None:
        """Cancel an upgrade, wait for the load under way, and give all memory back. May be called twice."""
        self._switcher.close()

    def __enter__(self) -> ProgressiveModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
