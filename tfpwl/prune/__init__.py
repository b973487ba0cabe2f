"""Structured pruning of functional Keras models.

Pruning removes whole channels and gives a smaller dense model (unlike masks, which leave size and latency as they are).
"""

from tfpwl.prune.compensate import match_features
from tfpwl.prune.cost import count_flops, flops_by_layer
from tfpwl.prune.depth import BlockReport
from tfpwl.prune.derive import Derived, DeriveReport, derive_student
from tfpwl.prune.graph import ChannelGroup, DependencyGraph, build_graph
from tfpwl.prune.groups import prune_groups
from tfpwl.prune.importance import Calibration, score_slices
from tfpwl.prune.pair import prune_pair
from tfpwl.prune.plan import Options, plan_pruning, plan_width
from tfpwl.prune.pruning import prune
from tfpwl.prune.report import GroupReport, PrunePlan, PruneReport
from tfpwl.prune.schedule import Schedule, make_schedule, plan_target, step_ratio
from tfpwl.prune.side import SideSize, report_sizes
from tfpwl.prune.surgery import carve
from tfpwl.prune.targets import Target
from tfpwl.prune.trace import Closed

__all__ = [
    "BlockReport",
    "Calibration",
    "ChannelGroup",
    "Closed",
    "DependencyGraph",
    "DeriveReport",
    "Derived",
    "GroupReport",
    "Options",
    "PrunePlan",
    "PruneReport",
    "Schedule",
    "SideSize",
    "Target",
    "build_graph",
    "carve",
    "count_flops",
    "derive_student",
    "flops_by_layer",
    "make_schedule",
    "match_features",
    "plan_pruning",
    "plan_target",
    "plan_width",
    "prune",
    "prune_groups",
    "prune_pair",
    "report_sizes",
    "score_slices",
    "step_ratio",
]
