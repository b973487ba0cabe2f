"""Which engine to use."""

from __future__ import annotations

import logging
import os

from tfpwl.errors import EngineError, MissingDependencyError
from tfpwl.runtime.engine import Engine, InterpreterEngine
from tfpwl.runtime.litert_engine import LiteRtEngine

_LOGGER = logging.getLogger(__name__)

ENGINE_NAMES = ("litert", "interpreter")


def make_engine(name: str | None = None, *, cache_dir: str | os.PathLike[str] | None = None) -> Engine:
    """An engine by name, or the best one that works here.

    Args:
        name: ``"litert"`` (LiteRT's C API: loads beside answers) or ``"interpreter"`` (the TFLite interpreter, which
            stops answers while it loads); None takes the first of these that works.
        cache_dir: for packed weights, see :class:`LiteRtEngine`; the interpreter has no use for it.

    Raises:
        EngineError: there is no such engine, or the installed ai-edge-litert does not fit it.
        MissingDependencyError: ai-edge-litert is not installed.

    Example:
        >>> make_engine("interpreter").name
        'interpreter'
    """
    if name is None:
        try:
            return LiteRtEngine(cache_dir=cache_dir)
        except (EngineError, MissingDependencyError) as exc:
            _LOGGER.info("The engine 'litert' does not work here, the interpreter takes its place: %s", exc)
            return InterpreterEngine()
    if name == "litert":
        return LiteRtEngine(cache_dir=cache_dir)
    if name == "interpreter":
        return InterpreterEngine()
    raise EngineError(f"Received engine {name!r}; expected one of {', '.join(ENGINE_NAMES)}.")
