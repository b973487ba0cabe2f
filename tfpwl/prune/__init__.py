"""Structured pruning of functional Keras models, and cutting them into groups.

Pruning removes whole channels and gives a smaller dense model (unlike masks, which leave size and latency as they are).
Cutting lives here for the time being; it belongs to :mod:`tfpwl.models`.
"""

from tfpwl.prune.calls import check_functional
from tfpwl.prune.cost import count_flops
from tfpwl.prune.cut import CutPlan, CutPoint, GroupSize, cut, find_cut_points, plan_cuts
from tfpwl.prune.graph import ChannelGroup, DependencyGraph, build_graph
from tfpwl.prune.importance import Calibration, score_slices
from tfpwl.prune.loading import load_functional
from tfpwl.prune.plan import GroupReport, PrunePlan, PruneReport, plan_pruning
from tfpwl.prune.pruning import prune
from tfpwl.prune.regroup import split_softmax
from tfpwl.prune.surgery import carve
from tfpwl.prune.trace import Closed

__all__ = [
    "Calibration",
    "ChannelGroup",
    "Closed",
    "CutPlan",
    "CutPoint",
    "DependencyGraph",
    "GroupReport",
    "GroupSize",
    "PrunePlan",
    "PruneReport",
    "build_graph",
    "carve",
    "check_functional",
    "count_flops",
    "cut",
    "find_cut_points",
    "load_functional",
    "plan_cuts",
    "plan_pruning",
    "prune",
    "score_slices",
    "split_softmax",
]
