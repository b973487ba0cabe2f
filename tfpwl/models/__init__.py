"""Model families as functional Keras groups, and the pairs of the PWL paper as presets."""

from tfpwl.models.lenet5 import lenet5
from tfpwl.models.registry import FAMILIES, PRESETS, Preset, build_groups, find_preset
from tfpwl.models.resnet import resnet
from tfpwl.models.sides import build_side
from tfpwl.models.vgg import vgg
from tfpwl.models.vit import vit

__all__ = [
    "FAMILIES",
    "PRESETS",
    "Preset",
    "build_groups",
    "build_side",
    "find_preset",
    "lenet5",
    "resnet",
    "vgg",
    "vit",
]
