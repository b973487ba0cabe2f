"""Running a bundle: answers at once, upgrades while it answers."""

from tfpwl.runtime.changes import Change, ErrorCode, Priority, State
from tfpwl.runtime.engine import Engine, InterpreterEngine, LoadedGroup, Runner
from tfpwl.runtime.engines import make_engine
from tfpwl.runtime.litert_engine import LiteRtEngine
from tfpwl.runtime.model import ProgressiveModel

__all__ = [
    "Change",
    "Engine",
    "ErrorCode",
    "InterpreterEngine",
    "LiteRtEngine",
    "LoadedGroup",
    "Priority",
    "ProgressiveModel",
    "Runner",
    "State",
    "make_engine",
]
