"""What is measured: a bundle, or a model in one piece, each with what loads it."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl.errors import EngineError

Array = NDArray[Any]
Answer = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Subject:
    """One line of the tables.

    Attributes:
        name: such as ``"bundle"`` or ``"teacher, one piece"``.
        path: a bundle, or one .tflite file.
        engine: by name, for :func:`tfpwl.runtime.make_engine`.
        is_bundle: whether ``path`` is a bundle, opened with its sums checked.
        mix: that a bundle shall run; None leaves it at all-student.
        early: whether a bundle is asked while the last of its files loads (``open(wait=False)``).
        weight_cache: XNNPACK's packed weights, kept from an earlier process by :func:`fill_cache`: a file, or for a
            bundle a folder.
        threads: of the engine.
    """

    name: str
    path: str
    engine: str
    is_bundle: bool = False
    mix: str | None = None
    weight_cache: str | None = None
    threads: int = 1
    early: bool = False

    def files(self) -> list[Path]:
        """Everything that loading may read."""
        # Before the cache is filled there is none.
        return _files_at(Path(self.path)) + ([] if self.weight_cache is None else _files_at(Path(self.weight_cache)))


def _files_at(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file())
    return [path] if path.is_file() else []


def import_for(subject: Subject) -> None:
    """Import what opening the subject needs: an app has its code loaded before it opens a model."""
    from tfpwl.runtime import make_engine  # noqa: PLC0415

    make_engine(subject.engine)
    if subject.engine == "interpreter":
        import ai_edge_litert.interpreter  # noqa: F401, PLC0415
    else:
        from tfpwl.runtime.litert import load_library  # noqa: PLC0415

        _ = load_library().environment()


def open_subject(subject: Subject) -> Answer:
    """Load it; what comes back answers.

    Raises:
        TfpwlError: the bundle or the file is broken, or the engine does not work here.
    """
    if subject.is_bundle:
        return _open_bundle(subject)[0].predict
    if subject.engine == "interpreter":
        return _open_by_interpreter(subject)
    return _open_by_litert(subject)


def fill_cache(subject: Subject) -> None:
    """Load it once, so that its packed weights are in the cache for the processes to come.

    Raises:
        EngineError: nothing was written there.
    """
    if subject.is_bundle:
        model, engine = _open_bundle(subject)
        engine.cache.wait()
        model.close()
    else:
        open_subject(subject)
    if not subject.weight_cache or not _files_at(Path(subject.weight_cache)):
        raise EngineError(f"LiteRT wrote no XNNPACK weight cache to {subject.weight_cache}; is the folder writable?")


def _open_bundle(subject: Subject) -> tuple[Any, Any]:
    """The model, and its engine."""
    from tfpwl.runtime import ProgressiveModel, make_engine  # noqa: PLC0415

    engine = make_engine(subject.engine, cache_dir=subject.weight_cache)
    model = ProgressiveModel.open(subject.path, engine=engine, threads=subject.threads, wait=not subject.early)
    if subject.mix is not None and model.mix != subject.mix:
        model.upgrade(order=_order_through(subject.mix), until=subject.mix, background=False)
    return model, engine


def _order_through(mix: str) -> tuple[int, ...]:
    """An order whose path has ``mix`` on it."""
    return tuple(sorted(range(len(mix)), key=lambda group: mix[group] != "T"))


def _open_by_litert(subject: Subject) -> Answer:
    """The file mapped, as LiteRT itself opens a path: nothing is copied and no sum is checked."""
    from tfpwl.runtime import LoadedGroup, make_engine  # noqa: PLC0415
    from tfpwl.runtime.litert import load_library  # noqa: PLC0415
    from tfpwl.runtime.litert_engine import LiteRtGroup  # noqa: PLC0415

    with open(subject.path, "rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    engine = make_engine(subject.engine)
    group: LoadedGroup
    try:
        if subject.weight_cache is None:
            group = engine.load(content, threads=subject.threads, sha256=None)
        else:
            # Not through the engine's cache_dir: that checks sums, which this rival does not.
            group = LiteRtGroup(load_library(), content, subject.threads, Path(subject.weight_cache))
    except EngineError as exc:
        raise EngineError(f"{subject.path}: {exc}") from exc
    run: Answer = engine.connect([group])
    return run


def _open_by_interpreter(subject: Subject) -> Answer:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    try:
        interpreter = Interpreter(model_path=subject.path, num_threads=subject.threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as exc:
        raise EngineError(f"The TFLite interpreter cannot load {subject.path}: {exc}") from exc
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def answer(x: Array) -> Array:
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(target))

    return answer
