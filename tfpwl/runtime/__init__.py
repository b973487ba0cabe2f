"""Running a bundle: answers at once, upgrades while it answers."""

from tfpwl.runtime.changes import Change, State
from tfpwl.runtime.engine import Engine, InterpreterEngine, LoadedGroup
from tfpwl.runtime.model import ProgressiveModel

__all__ = ["Change", "Engine", "InterpreterEngine", "LoadedGroup", "ProgressiveModel", "State"]
