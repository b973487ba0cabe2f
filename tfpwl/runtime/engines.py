"""Which engine to use."""

from __future__ import annotations

import logging
import os

from tfpwl.errors import EngineError, MissingDependencyError
from tfpwl.runtime.engine import Engine, Gpu, InterpreterEngine
from tfpwl.runtime.litert_engine import LiteRtEngine

_LOGGER = logging.getLogger(__name__)

ENGINE_NAMES = ("litert", "interpreter")  # on the CPU, the best one first
GPU_ENGINE = "litert-gpu"


def make_engine(
    name: str | None = None, *, cache_dir: str | os.PathLike[str] | None = None, gpu: Gpu | str = Gpu.NEVER
) -> Engine:
    """An engine by name, or the best one that works here.

    Args:
        name: ``"litert"`` (LiteRT's C API: loads beside answers) or ``"interpreter"`` (the TFLite interpreter, which
            stops answers while it loads); None takes the first of these that works. ``"litert-gpu"`` is LiteRT that
            runs every file on the GPU.
        cache_dir: for packed weights, see :class:`LiteRtEngine`; the interpreter has no use for it.
        gpu: for LiteRT, see :class:`LiteRtEngine`; the interpreter stays on the CPU.

    Raises:
        EngineError: there is no such engine, or the installed ai-edge-litert does not fit it.
        MissingDependencyError: ai-edge-litert is not installed.

    Example:
        >>> make_engine("interpreter").name
        'interpreter'
    """
    if name is None:
        try:
            return LiteRtEngine(cache_dir=cache_dir, gpu=gpu)
        except (EngineError, MissingDependencyError) as exc:
            _LOGGER.info("The engine 'litert' does not work here, the interpreter takes its place: %s", exc)
            return InterpreterEngine()
    if name == "litert":
        return LiteRtEngine(cache_dir=cache_dir, gpu=gpu)
    if name == GPU_ENGINE:
        return LiteRtEngine(gpu=Gpu.ALWAYS)
    if name == "interpreter":
        return InterpreterEngine()
    raise EngineError(f"Received engine {name!r}; expected one of {', '.join((*ENGINE_NAMES, GPU_ENGINE))}.")
