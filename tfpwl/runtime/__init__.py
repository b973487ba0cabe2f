"""Running a bundle: answers at once, upgrades while it answers."""

from tfpwl.runtime.changes import Change, ErrorCode, Priority, State
from tfpwl.runtime.device import DeviceFacts
from tfpwl.runtime.engine import Engine, Gpu, InterpreterEngine, LoadedGroup, Runner
from tfpwl.runtime.engines import make_engine
from tfpwl.runtime.litert_engine import LiteRtEngine
from tfpwl.runtime.model import ProgressiveModel
from tfpwl.runtime.selection import TierChoice, select_tier
from tfpwl.runtime.tiers import Tier, Tiers, open_tier, read_tiers

__all__ = [
    "Change",
    "DeviceFacts",
    "Engine",
    "ErrorCode",
    "Gpu",
    "InterpreterEngine",
    "LiteRtEngine",
    "LoadedGroup",
    "Priority",
    "ProgressiveModel",
    "Runner",
    "State",
    "Tier",
    "TierChoice",
    "Tiers",
    "make_engine",
    "open_tier",
    "read_tiers",
    "select_tier",
]
