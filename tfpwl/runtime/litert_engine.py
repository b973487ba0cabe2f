"""LiteRT's CompiledModel as an engine: loads and runs without Python's global lock, hands buffers on without a copy."""

from __future__ import annotations

import ctypes
import itertools
import logging
import math
import os
import queue
import threading
import weakref
from collections.abc import Sequence
from ctypes import byref, c_void_p
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tfpwl.bundle import TensorSpec
from tfpwl.bundle.version import installed_tflite_level
from tfpwl.errors import EngineError
from tfpwl.runtime import litert
from tfpwl.runtime.engine import Array, Gpu, LoadedGroup, ModelBytes
from tfpwl.runtime.footprint import loaded_bytes
from tfpwl.runtime.litert import RankedTensorType
from tfpwl.runtime.memory import limit_retention
from tfpwl.runtime.weight_cache import WeightCache

_LOGGER = logging.getLogger(__name__)

# What the library asks of memory that it did not allocate itself; XNNPACK may read a little past the end.
_ALIGNMENT = 64
_SLACK = 64
# Weights in a .tflite file stand at multiples of 16 from its beginning, and are read in place.
_MODEL_ALIGNMENT = 16

# Of the range of an answer: how far the GPU's may be from the CPU's. Rounding makes 1e-6 of it at fp32 and 0 to 1 step
# of 255 at int8, LiteRT's faults made 36 %.
_GPU_TOLERANCE = 0.01
_FP32_ON_GPU = "precision = 2\n"  # LiteRtDelegatePrecision; by itself LiteRT takes half precision where it can


class LiteRtEngine:
    """The LiteRT C API, with XNNPACK; needs a version of ai-edge-litert that the binding was checked with.

    Measured against :class:`InterpreterEngine`: a load in the background does not hold up answers, and a chain of
    files hands its tensors on without copies (docs/performance.md).

    Args:
        cache_dir: a folder for packed weights (:mod:`tfpwl.runtime.weight_cache`): a file that was packed before is
            mapped instead (create of a 21 MB file: 1 ms instead of 32, but its sum is checked, 15 ms); what is
            missing is packed into it in the background.
        gpu: whether LiteRT's GPU accelerator runs files, in float32 (desktops: WebGPU over Vulkan, Metal, Direct3D).
            Each file answers once on the CPU, too, when it is loaded, because LiteRT has computed int8 files wrong on
            the GPU without an error; what differs does not run there. A GPU that is a program counts as one.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed.
        EngineError: it is installed in another version, or broken.
    """

    def __init__(self, *, cache_dir: str | os.PathLike[str] | None = None, gpu: Gpu | str = Gpu.NEVER) -> None:
        self._library = litert.load_library()
        self._gpu = Gpu(gpu)
        self.name = "litert" if self._gpu is Gpu.NEVER else "litert-gpu"
        limit_retention()  # 0.1 ms, which no model should wait for
        self.cache = None if cache_dir is None else WeightCache(cache_dir, self._library.version)

    @property
    def tflite_level(self) -> str:
        return installed_tflite_level()

    def load(self, model: ModelBytes, *, threads: int = 1, sha256: str | None = None) -> LiteRtGroup:
        """Load a file whose checksum was checked before; its bytes are kept, not copied, for as long as the group.

        Args:
            model: the file's content.
            threads: of XNNPACK.
            sha256: of the content; with it packed weights come from the cache, if the engine has one.

        Raises:
            EngineError: LiteRT refuses the file, or it has to run on the GPU and does not.
            MemoryError: there is not enough memory.
        """
        if threads < 1:
            raise EngineError(f"Received threads={threads}; expected 1 or more.")
        try:
            group = self._load_on_cpu(model, threads, sha256)
            return group if self._gpu is Gpu.NEVER else self._move_to_gpu(group, model, threads)
        except EngineError as exc:
            raise EngineError(f"LiteRT cannot load the file ({len(model)} bytes): {exc}") from exc

    def _load_on_cpu(self, model: ModelBytes, threads: int, sha256: str | None) -> LiteRtGroup:
        cache = self.cache
        if cache is None or sha256 is None:
            return LiteRtGroup(self._library, model, threads)
        packed = cache.find(sha256)
        if packed is not None:
            try:
                return LiteRtGroup(self._library, model, threads, packed)
            except EngineError:
                # The file itself may still be good: below it is loaded without.
                cache.discard(sha256)
        group = LiteRtGroup(self._library, model, threads)
        cache.request(sha256, lambda path: LiteRtGroup(self._library, model, 1, path).close())
        return group

    def _move_to_gpu(self, on_cpu: LiteRtGroup, model: ModelBytes, threads: int) -> LiteRtGroup:
        """The same file on the GPU, where it answers as on the CPU; else ``on_cpu`` or, with ALWAYS, an error."""
        try:
            on_gpu = self._load_on_gpu(on_cpu, model, threads)
        except (EngineError, MemoryError) as exc:
            if self._gpu is Gpu.IF_PRESENT:
                reason = str(exc) or "there is not enough memory"
                _LOGGER.info("A file of %d bytes runs on the CPU: %s", len(model), reason)
                return on_cpu
            on_cpu.close()
            if isinstance(exc, MemoryError):
                raise
            raise EngineError(f"it does not run on the GPU: {exc}. The engine 'litert' takes the CPU.") from exc
        on_cpu.close()
        return on_gpu

    def _load_on_gpu(self, on_cpu: LiteRtGroup, model: ModelBytes, threads: int) -> LiteRtGroup:
        try:
            on_gpu = LiteRtGroup(self._library, model, threads, accelerators=litert.GPU)
        except EngineError as exc:
            # LiteRT has one status for many reasons.
            raise EngineError(
                f"{exc}; it finds no GPU with a driver, or does not support an operator (stderr may say which)"
            ) from exc
        try:
            difference, span = compare_answers(on_gpu, on_cpu)
            if not answers_alike(on_gpu, difference, span):
                raise EngineError(
                    f"its answer there is off by {difference:.3g}, where the CPU's has a range of {span:.3g}"
                )
        except BaseException:
            on_gpu.close()
            raise
        return on_gpu

    def connect(self, groups: Sequence[LoadedGroup]) -> LiteRtRunner:
        """A runner for groups of this engine, in running order.

        Raises:
            EngineError: a group is another engine's, or does not take what the one before it gives.
        """
        own = [group for group in groups if isinstance(group, LiteRtGroup)]
        if len(own) != len(groups):
            raise EngineError("Groups of another engine cannot be connected by the engine 'litert'.")
        return LiteRtRunner(self._library, own)


class LiteRtGroup:
    """One file, compiled. A compiled model serves one thread at a time, so ``lock`` guards each run."""

    def __init__(
        self,
        library: litert.Library,
        model: ModelBytes,
        threads: int,
        packed_path: Path | None = None,
        accelerators: int = litert.CPU,
    ) -> None:
        self._library = library
        self.lock = threading.Lock()
        self.compiled: c_void_p | None = None
        self._alone: LiteRtRunner | None = None
        # LiteRT reads weights from here for as long as the model lives, so the finalizer holds it, too.
        content = _aligned(model)
        self._model = model
        self._native: list[tuple[str, c_void_p]] = []
        self._release = weakref.finalize(self, _destroy, library, self._native, content)
        self._release.atexit = False
        try:
            environment = library.environment(accelerators)
            loaded = library.create("LiteRtCreateModelFromBuffer", environment, content.ctypes.data, content.size)
            self._native.append(("Model", loaded))
            self.input_type, self.input = self._read_end(loaded, "Input")
            self.output_type, self.output = self._read_end(loaded, "Output")
            self.compiled = self._compile(environment, loaded, accelerators, threads, packed_path)
            self._native.append(("CompiledModel", self.compiled))
        except BaseException:
            self._release()
            raise

    @cached_property
    def resident_bytes(self) -> int:
        return loaded_bytes(self._model)

    def _read_end(self, model: c_void_p, which: str) -> tuple[RankedTensorType, TensorSpec]:
        """Type and spec of the one input or output of the one signature."""
        library = self._library
        signatures = library.number("LiteRtGetNumModelSignatures", model)
        if signatures != 1:
            raise EngineError(f"The file has {signatures} signatures; a group has one.")
        signature = library.create("LiteRtGetModelSignature", model, 0)
        count = library.number(f"LiteRtGetNumSignature{which}s", signature)
        if count != 1:
            raise EngineError(f"The file has {count} {which.lower()}s; a group has one.")
        tensor = library.create(f"LiteRtGetSignature{which}TensorByIndex", signature, 0)
        found = litert.tensor_type(library, tensor)
        if found.element_type not in litert.DTYPES:
            raise EngineError(
                f"The {which.lower()} has the LiteRT element type {found.element_type}; expected one of "
                f"{', '.join(litert.DTYPES.values())}."
            )
        if any(axis < 1 for axis in found.shape):
            raise EngineError(f"The {which.lower()} has the free shape {list(found.shape)}; every axis must be fixed.")
        return found, TensorSpec(found.shape, litert.DTYPES[found.element_type], *litert.quantization(library, tensor))

    def _compile(
        self, environment: c_void_p, model: c_void_p, accelerators: int, threads: int, packed_path: Path | None
    ) -> c_void_p:
        library = self._library
        options = library.create("LiteRtCreateOptions")
        try:
            library.call("LiteRtSetOptionsHardwareAccelerators", options, accelerators)
            if accelerators & litert.GPU:
                library.add_text_option(options, b"gpu_options", _FP32_ON_GPU)
            text = f"num_threads = {threads}\n"
            if packed_path is not None:
                text += f'weight_cache_file_path = "{packed_path}"\n'
            library.add_text_option(options, b"xnnpack", text)
            return library.create("LiteRtCreateCompiledModel", environment, model, options)
        finally:
            library.destroy("Options", options)

    def __call__(self, x: Array) -> Array:
        with self.lock:
            self.check_open()
            if self._alone is None:
                self._alone = LiteRtRunner(self._library, (self,))
        return self._alone(x)

    def check_open(self) -> None:
        """Raise EngineError if the group was closed."""
        if self.compiled is None:
            raise EngineError("The group was closed; load its file again.")

    def close(self) -> None:
        with self.lock:
            self.compiled = None
            self._alone = None
            self._model = b""
            self._release()


def compare_answers(group: LoadedGroup, reference: LoadedGroup) -> tuple[float, float]:
    """How far answers to the same noise are apart at most, and the range of the reference's, in the output's units.

    Where all numbers of the reference are equal, as a single one is, their size takes the range's place.
    """
    x = np.random.default_rng(0).random(group.input.shape, np.float32)
    dtype = np.dtype(group.input.dtype)
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        x = limits.min + (limits.max - limits.min) * x
    expected, found = (np.asarray(one(x.astype(dtype)), np.float64) for one in (reference, group))
    return float(np.abs(found - expected).max()), float(np.ptp(expected) or np.abs(expected).max())


def answers_alike(group: LoadedGroup, difference: float, span: float) -> bool:
    """Whether what :func:`compare_answers` found is rounding; of whole numbers one is, however small the range."""
    return difference <= max(_GPU_TOLERANCE * span, 0.0 if group.output.dtype.startswith("float") else 1.0)


def _destroy(library: litert.Library, native: list[tuple[str, c_void_p]], content: Array) -> None:
    """Give native objects back, the last one first; ``content`` is here to live until then."""
    while native:
        library.destroy(*native.pop())


class LiteRtRunner:
    """Groups in a row: what one writes is what the next one reads, in the same memory.

    A thread that asks takes a lane, which is a set of buffers, for the time of its answer; groups are locked one by
    one. So several threads are in different groups of the chain at the same time, and each finds its own numbers.
    """

    def __init__(self, library: litert.Library, groups: Sequence[LiteRtGroup]) -> None:
        for before, after in itertools.pairwise(groups):
            if not before.output.agrees_with(after.input):
                raise EngineError(f"A group gives {before.output}, and the next one takes {after.input}.")
        self._library = library
        self._groups = tuple(groups)
        self._shape, self._dtype = groups[0].input.shape, np.dtype(groups[0].input.dtype)
        # More lanes than groups would only wait for one another.
        self._to_make = len(groups)
        self._making = threading.Lock()
        self._idle: queue.SimpleQueue[_Lane] = queue.SimpleQueue()
        # The first one now: an answer should not wait for its memory.
        self._idle.put(self._make_lane())

    def is_busy(self) -> bool:
        return self._idle.qsize() < len(self._groups) - self._to_make

    def __call__(self, x: Array) -> Array:
        if x.shape != self._shape or x.dtype != self._dtype:
            raise EngineError(
                f"LiteRT cannot run the group on {x.dtype} {x.shape}; it takes {self._dtype} {self._shape}."
            )
        lane = self._take_lane()
        try:
            lane.input[...] = x
            run = self._library.run
            for group, source, target in lane.links:
                with group.lock:
                    if group.compiled is None:
                        group.check_open()
                    status = run(group.compiled, 0, 1, source, 1, target)
                if status:
                    raise EngineError(f"LiteRT cannot run the group: {litert.describe(status)}")
            return lane.output.copy()
        finally:
            self._idle.put(lane)

    def _take_lane(self) -> _Lane:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            with self._making:
                lane = self._make_lane() if self._to_make else None
            return self._idle.get() if lane is None else lane

    def _make_lane(self) -> _Lane:
        lane = _Lane(self._library, self._groups)
        self._to_make -= 1
        return lane


class _Lane:
    """Memory for one answer at a time: two blocks in turn, as a group needs only its own input and output."""

    def __init__(self, library: litert.Library, groups: Sequence[LiteRtGroup]) -> None:
        specs = [groups[0].input, *(group.output for group in groups)]
        types = [groups[0].input_type, *(group.output_type for group in groups)]
        blocks = [_block(max(map(_num_bytes, specs[which::2]))) for which in range(2)]
        buffers: list[c_void_p] = []
        # The blocks are arguments of the finalizer, so that they outlive the buffers that point into them.
        weakref.finalize(self, _destroy_buffers, library, buffers, blocks).atexit = False
        for i, (spec, kind) in enumerate(zip(specs, types, strict=True)):
            address = blocks[i % 2].ctypes.data
            buffers.append(
                library.create("LiteRtCreateTensorBufferFromHostMemory", byref(kind), address, _num_bytes(spec), None)
            )
        self.input: Array = _view(blocks[0], specs[0])
        self.output: Array = _view(blocks[(len(specs) - 1) % 2], specs[-1])
        handles: list[Any] = [(c_void_p * 1)(buffer) for buffer in buffers]
        self.links = tuple(zip(groups, handles, handles[1:], strict=False))


def _destroy_buffers(library: litert.Library, buffers: list[c_void_p], blocks: list[Array]) -> None:
    for buffer in buffers:
        library.destroy("TensorBuffer", buffer)
    blocks.clear()


def _num_bytes(spec: TensorSpec) -> int:
    return math.prod(spec.shape) * np.dtype(spec.dtype).itemsize


def _block(size: int) -> Array:
    """Zeroed memory of ``size`` bytes at a multiple of the alignment, with some to spare behind it."""
    memory = np.zeros(size + _ALIGNMENT + _SLACK, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


def _view(block: Array, spec: TensorSpec) -> Array:
    return block[: _num_bytes(spec)].view(spec.dtype).reshape(spec.shape)


def _aligned(model: ModelBytes) -> Array:
    """The bytes as an array that keeps them alive; a copy only where they stand at an odd address."""
    content = np.frombuffer(model, np.uint8) if len(model) else np.empty(0, np.uint8)
    if content.ctypes.data % _MODEL_ALIGNMENT == 0:
        return content
    copy = _block(content.size)
    ctypes.memmove(copy.ctypes.data, content.ctypes.data, content.size)
    return copy
