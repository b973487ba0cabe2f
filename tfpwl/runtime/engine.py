"""Engines: what loads a .tflite file and runs it. The runtime knows them only by three small protocols."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any, Protocol

from numpy.typing import NDArray

from tfpwl.bundle import TensorSpec
from tfpwl.bundle.tflite_file import spec_of_detail
from tfpwl.bundle.version import installed_tflite_level
from tfpwl.errors import EngineError, MissingDependencyError
from tfpwl.runtime.footprint import loaded_bytes

Array = NDArray[Any]
ModelBytes = bytes | memoryview


class Gpu(StrEnum):
    """Whether files run on the GPU; the Android library has the same choice."""

    NEVER = "never"
    #: Where LiteRT finds one that takes the file and answers as the CPU does; else on the CPU.
    IF_PRESENT = "if_present"
    #: A file that the GPU does not take whole, or answers otherwise, fails to load.
    ALWAYS = "always"


class LoadedGroup(Protocol):
    """A file, loaded and ready to run; safe to call from several threads."""

    @property
    def input(self) -> TensorSpec: ...

    @property
    def output(self) -> TensorSpec: ...

    @property
    def resident_bytes(self) -> int:
        """What it takes: the file's bytes, packed weights, activations (``footprint.py``)."""
        ...

    def __call__(self, x: Array) -> Array:
        """The output for ``x`` (of the input's shape and dtype), in memory that belongs to the caller."""
        ...

    def close(self) -> None:
        """Give the memory back; the runtime calls this once no answer uses the group any more."""
        ...


class Runner(Protocol):
    """Runs the groups of a chain one after another; safe to call from several threads."""

    def __call__(self, x: Array) -> Array:
        """The chain's output for ``x``, in memory that belongs to the caller."""
        ...

    def is_busy(self) -> bool:
        """Whether an answer is running at the moment."""
        ...


class Engine(Protocol):
    """Loads files. ``load`` raises :class:`EngineError` for a file that it cannot run."""

    @property
    def name(self) -> str: ...

    @property
    def tflite_level(self) -> str:
        """The newest TFLite version, in TensorFlow's numbering, whose files the engine surely runs."""
        ...

    def load(self, model: ModelBytes, *, threads: int, sha256: str | None) -> LoadedGroup:
        """Load a file's content; ``sha256`` is its sum, which was checked, for engines that keep files by it."""
        ...

    def connect(self, groups: Sequence[LoadedGroup]) -> Runner:
        """What runs ``groups``, which this engine loaded, in their order."""
        ...


class InterpreterEngine:
    """The TFLite ``Interpreter`` of ``ai-edge-litert`` on the CPU, with XNNPACK.

    The binding keeps Python's global lock while it loads a file, so a load in the background delays answers by
    milliseconds per megabyte; answers stay right.
    """

    name = "interpreter"

    @property
    def tflite_level(self) -> str:
        return installed_tflite_level()

    def load(self, model: ModelBytes, *, threads: int = 1, sha256: str | None = None) -> InterpreterGroup:
        """Load a file whose checksum was checked before.

        Raises:
            EngineError: the interpreter refuses the file.
            MissingDependencyError: ai-edge-litert is not installed.
        """
        try:
            # Here and not above: importing the binding takes 0.2 s, and `import tfpwl.runtime` must be quick.
            from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415
        except ImportError as exc:
            raise MissingDependencyError(
                "ai-edge-litert, the TFLite runtime, is not installed. Install it with: pip install ai-edge-litert"
            ) from exc
        model = bytes(model)
        try:
            interpreter = Interpreter(model_content=model, num_threads=threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError, MemoryError) as exc:
            raise EngineError(f"The TFLite interpreter cannot load the file ({len(model)} bytes): {exc}") from exc
        return InterpreterGroup(interpreter, model)

    def connect(self, groups: Sequence[LoadedGroup]) -> Runner:
        return InTurn(groups)


class InTurn:
    """Runs groups in turn; numpy arrays carry the tensors."""

    def __init__(self, groups: Sequence[LoadedGroup]) -> None:
        self._groups = tuple(groups)
        self._answers = 0
        self._lock = threading.Lock()

    def __call__(self, x: Array) -> Array:
        with self._lock:
            self._answers += 1
        try:
            for group in self._groups:
                x = group(x)
            return x
        finally:
            with self._lock:
                self._answers -= 1

    def is_busy(self) -> bool:
        return self._answers > 0


class InterpreterGroup:
    """One file in one interpreter. An interpreter serves one thread at a time, so a lock guards each answer."""

    def __init__(self, interpreter: Any, model: ModelBytes) -> None:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise EngineError(f"The file has {len(inputs)} inputs and {len(outputs)} outputs; a group has one of each.")
        self.input = spec_of_detail(inputs[0])
        self.output = spec_of_detail(outputs[0])
        self._interpreter = interpreter
        # The interpreter reads its weights in these bytes, too; holding them costs nothing.
        self._model = model
        self._input_index = inputs[0]["index"]
        self._output_index = outputs[0]["index"]
        self._lock = threading.Lock()

    @cached_property
    def resident_bytes(self) -> int:
        return loaded_bytes(self._model)

    def __call__(self, x: Array) -> Array:
        with self._lock:
            interpreter = self._interpreter
            if interpreter is None:
                raise EngineError("The group was closed; load its file again.")
            try:
                interpreter.set_tensor(self._input_index, x)
                interpreter.invoke()
                # A copy: the next answer writes into the interpreter's own buffer.
                answer: Array = interpreter.get_tensor(self._output_index)
            except (ValueError, RuntimeError) as exc:
                raise EngineError(f"The TFLite interpreter cannot run the group on {x.dtype} {x.shape}: {exc}") from exc
        return answer

    def close(self) -> None:
        with self._lock:
            self._interpreter = None
            self._model = b""
