"""Model families as functional Keras groups, the pairs of the PWL paper as presets, and any other model cut up."""

from tfpwl.models.calls import check_functional
from tfpwl.models.cut import CutPlan, GroupSize, cut, plan_cuts
from tfpwl.models.cut_points import CutPoint, find_cut_points
from tfpwl.models.lenet5 import lenet5
from tfpwl.models.loading import load_functional
from tfpwl.models.registry import FAMILIES, PRESETS, Preset, build_groups, find_preset
from tfpwl.models.regroup import split_softmax
from tfpwl.models.resnet import resnet
from tfpwl.models.sides import build_side
from tfpwl.models.statistics import reestimate_statistics
from tfpwl.models.vgg import vgg
from tfpwl.models.vit import vit

__all__ = [
    "CutPlan",
    "CutPoint",
    "FAMILIES",
    "GroupSize",
    "PRESETS",
    "Preset",
    "build_groups",
    "build_side",
    "check_functional",
    "cut",
    "find_cut_points",
    "find_preset",
    "lenet5",
    "load_functional",
    "plan_cuts",
    "reestimate_statistics",
    "resnet",
    "split_softmax",
    "vgg",
    "vit",
]
