"""A model that answers at once with its student and grows into its teacher while it keeps answering."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfpwl.bundle import Bundle
from tfpwl.bundle.version import check_runtime
from tfpwl.errors import TfpwlError
from tfpwl.mix import Mix
from tfpwl.runtime.changes import Observer, State
from tfpwl.runtime.engine import Array, Engine, InterpreterEngine
from tfpwl.runtime.loader import ChainLoader
from tfpwl.runtime.plan import check_downgrade, plan_upgrade
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

    def __init__(self, bundle: Bundle, engine: Engine, threads: int) -> None:
        """Use :meth:`open`, which checks before it loads."""
        self._bundle = bundle
        self._shape = bundle.manifest.input.shape
        self._dtype = np.dtype(bundle.manifest.input.dtype)
        self._switcher = Switcher(ChainLoader(bundle, engine, threads), Mix.all_student(bundle.manifest.num_groups))

    @classmethod
    def open(
        cls,
        path: Bundle | str | os.PathLike[str],
        *,
        engine: Engine | None = None,
        threads: int | None = None,
    ) -> ProgressiveModel:
        """Open a bundle and load its student; no teacher file is read.

        Args:
            path: the bundle's folder, or an open bundle.
            engine: what loads and runs files; the TFLite interpreter by default.
            threads: per group; the manifest's ``runtime.threads`` by default.

        Raises:
            BundleError: the bundle is missing, broken, or needs a newer runtime (its subclasses say which).
            EngineError: the engine cannot load the student.
            MissingDependencyError: ai-edge-litert is not installed.
        """
        bundle = path if isinstance(path, Bundle) else Bundle.open(path)
        engine = InterpreterEngine() if engine is None else engine
        check_runtime(bundle.manifest.requires.tflite_runtime, engine.tflite_level)
        return cls(bundle, engine, bundle.manifest.runtime.threads if threads is None else threads)

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
        steps = self._switcher.chain.steps
        if not steps:
            raise closed_error()
        answer = x if isinstance(x, np.ndarray) and x.shape == self._shape and x.dtype == self._dtype else self._fit(x)
        for step in steps:
            answer = step.run(answer)
        return answer

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
        given = given.reshape(self._shape)
        return given.astype(self._dtype) if self._dtype == np.uint8 else self._bundle.manifest.input.preprocess(given)

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
        """Bytes of the files that are loaded at the moment (what an engine adds is not in it)."""
        return self._switcher.chain.resident_bytes

    def on_change(self, callback: Observer) -> None:
        """Call ``callback`` with a :class:`Change` after every new mix or state, one at a time and in their order.

        It runs in a thread that changes the mix, so it should be short. It may use this model, but not :meth:`wait`
        for the upgrade that called it. What it raises is logged, not passed on.
        """
        self._switcher.observers.add(callback)

    def upgrade(self, order: Sequence[int] | None = None, until: str | None = None, *, background: bool = True) -> None:
        """Replace student groups by teacher groups, one after another; answers go on meanwhile.

        An upgrade under way is replaced by this one, unless it is the same. A failure ends it: the last good mix
        goes on answering, :attr:`last_error` says why, and another ``upgrade()`` tries again from there.

        Args:
            order: in which groups change sides; the manifest's order by default.
            until: a mix on the way, such as ``"TTSS"``, to stop at; all-teacher by default.
            background: return at once and load in another thread; otherwise load in this one.

        Raises:
            ValueError: ``order`` is no permutation of the groups, or ``until`` is not on the way.
            EngineError: the model is closed.
            TfpwlError: with ``background=False``, what made the upgrade fail.
        """
        asked = None if order is None else tuple(order)

        def plan(start: Mix) -> tuple[Mix, ...]:
            return plan_upgrade(self._bundle.manifest, start, asked, until)

        if background:
            self._switcher.start_upgrade(plan, (asked, until))
        else:
            self._switcher.upgrade(plan)

    def downgrade(self, mix: str | None = None) -> None:
        """Go back to ``mix`` and give the teacher's memory back; an upgrade under way is cancelled.

        Waits for the load that is under way (of one group at most), then loads the student files that are missing.
        Answers go on meanwhile.

        Args:
            mix: with no teacher group that is not answering now; all-student by default.

        Raises:
            ValueError: ``mix`` has another number of groups, or more of the teacher than answers now.
            IntegrityError: a student file is no longer what it was; the mix stays.
            EngineError: the model is closed, or a student file cannot be loaded; the mix stays.
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
