"""The table of families and the authors' pairs, and one function that builds any of them from a configuration."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import keras

from tfpwl.errors import ModelError
from tfpwl.models.lenet5 import lenet5
from tfpwl.models.resnet import resnet
from tfpwl.models.vgg import vgg
from tfpwl.models.vit import vit

Family = Callable[..., tuple[keras.Model, ...]]

FAMILIES: Mapping[str, Family] = MappingProxyType({"lenet5": lenet5, "vgg": vgg, "resnet": resnet, "vit": vit})

# Given by the data and the pipeline, never by a family's section of the configuration.
_GIVEN = ("input_shape", "num_classes", "name", "seed")


@dataclass(frozen=True)
class Preset:
    """A pair of the PWL paper: its family, the parameters of both sides, the input it was defined for."""

    family: str
    input_shape: tuple[int, int, int]
    teacher: Mapping[str, Any]
    student: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "resnet-cifar": Preset(
            "resnet",
            (32, 32, 3),
            teacher=MappingProxyType({"widths": (32, 64, 128, 256), "depths": (3, 4, 6, 3), "stem": 64}),
            student=MappingProxyType({"widths": (32, 64, 128, 256), "depths": (1, 1, 1, 1), "stem": 64}),
        ),
        "vgg-cifar": Preset(
            "vgg",
            (32, 32, 3),
            teacher=MappingProxyType({"widths": (64, 128, 256, 512, 512), "depths": (2, 2, 3, 3, 3)}),
            student=MappingProxyType({"widths": (64, 128, 256, 512, 512), "depths": (1, 1, 1, 1, 1)}),
        ),
        "vit-tiny": Preset(
            "vit",
            (224, 224, 3),
            teacher=MappingProxyType({"patch": 16, "width": 192, "depth": 12, "heads": 3, "mlp": 768, "groups": 6}),
            student=MappingProxyType({"patch": 16, "width": 192, "depth": 6, "heads": 3, "mlp": 768, "groups": 6}),
        ),
        "lenet5": Preset(
            "lenet5",
            (28, 28, 1),
            teacher=MappingProxyType({"channels": (6, 16), "units": (120, 84)}),
            student=MappingProxyType({"channels": (3, 8), "units": (120, 84)}),
        ),
    }
)


def build_groups(
    family: str,
    input_shape: Sequence[int],
    num_classes: int,
    *,
    name: str,
    seed: int = 0,
    **params: Any,
) -> tuple[keras.Model, ...]:
    """Build the groups of one model of ``family``; what a pipeline calls with the parameters of its YAML.

    Args:
        family: a key of ``FAMILIES``.
        input_shape: (height, width, channels) of one image.
        num_classes: number of logits.
        name: prefix of every layer's name, such as ``teacher``.
        seed: of the initial weights.
        **params: the family's own parameters, such as ``widths`` and ``depths``.

    Returns:
        The groups, first to last.

    Raises:
        ModelError: the family or a parameter is unknown (the nearest right one is named), one is missing, or the family
            refuses a value.

    Example:
        >>> groups = build_groups("vgg", (8, 8, 1), 10, name="student", widths=[4, 8], depths=[1, 1])
        >>> [group.name for group in groups]
        ['student_g0', 'student_g1']
    """
    if family not in FAMILIES:
        raise ModelError(
            f"Unknown family {family!r}; expected one of {', '.join(FAMILIES)}.{_nearest(family, FAMILIES)}"
        )
    build = FAMILIES[family]
    _check_params(family, build, params)
    return build(input_shape, num_classes, name=name, seed=seed, **params)


def find_preset(name: str) -> Preset:
    """The preset ``name``.

    Raises:
        ModelError: there is none of this name.
    """
    if name not in PRESETS:
        raise ModelError(f"Unknown preset {name!r}; expected one of {', '.join(PRESETS)}.{_nearest(name, PRESETS)}")
    return PRESETS[name]


def _check_params(family: str, build: Family, params: Mapping[str, Any]) -> None:
    known = {key: p for key, p in inspect.signature(build).parameters.items() if key not in _GIVEN}
    for key in params:
        if key not in known:
            raise ModelError(
                f"The family {family!r} has no parameter {key!r}; it takes {', '.join(known)}.{_nearest(key, known)}"
            )
    missing = [key for key, p in known.items() if p.default is inspect.Parameter.empty and key not in params]
    if missing:
        raise ModelError(
            f"The family {family!r} needs {', '.join(missing)}; received {', '.join(params) or 'nothing'}."
        )


def _nearest(received: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(received, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
