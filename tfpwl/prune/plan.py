"""Which channels go: the smallest threshold over all importances that meets a target; no model is built for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypedDict, Unpack

import keras

from tfpwl.errors import ModelError
from tfpwl.prune.cost import channels_kept, check_counted, flops_kept, params_kept
from tfpwl.prune.graph import DependencyGraph, Keep, build_graph
from tfpwl.prune.importance import Calibration, Score, score_slices
from tfpwl.prune.ranking import RANKINGS, Ranking, rank
from tfpwl.prune.report import PrunePlan, describe_plan

Cost = Callable[[DependencyGraph, Keep], int]
COSTS: Mapping[str, Cost] = MappingProxyType({"flops": flops_kept, "params": params_kept, "channels": channels_kept})


class Options(TypedDict, total=False):
    """How channels are chosen; what :func:`plan_pruning` says of each."""

    importance: str | Score
    ranking: str
    round_to: int
    max_layer_ratio: float
    calibration: Calibration | None
    seed: int


_DEFAULTS = Options(
    importance="l2", ranking="global", round_to=8, max_layer_ratio=0.9, calibration=None, seed=0
)  # fmt: skip


def plan_pruning(
    model: keras.Model,
    ratio: float = 0.5,
    importance: str | Score = "l2",
    *,
    target: str = "flops",
    ranking: str = "global",
    round_to: int = 8,
    keep: Sequence[str] = (),
    max_layer_ratio: float = 0.9,
    calibration: Calibration | None = None,
    seed: int = 0,
) -> PrunePlan:
    """Choose the channels to remove from ``model``; nothing is built or changed.

    Args:
        model: a functional Keras 3 model.
        ratio: share of the target that has to go, 0 (nothing) up to, not including, 1. The plan removes at least this
            share and, because of rounding, sometimes a little more.
        importance: ``l1``, ``l2``, ``bn_scale``, ``taylor``, ``random``, or a function of a weight and an axis.
        target: what the ratio is of: ``flops``, ``params``, or ``channels`` (of those that may go).
        ranking: ``global`` compares channels of all layers; ``layer`` takes the same share of each.
        round_to: channel counts that change become multiples of it. A layer that has fewer keeps all.
        keep: names of layers whose output channels stay, such as those before a boundary.
        max_layer_ratio: the largest share of one layer's channels that goes, whatever their importance.
        calibration: data and loss for ``taylor``.
        seed: of ``random``.

    Raises:
        ModelError: an argument is out of range, the model cannot be read, or the target is out of reach.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> x = keras.layers.Conv2D(16, 3, name="a")(inputs)
        >>> x = keras.layers.Conv2D(32, 3, name="b")(x)
        >>> x = keras.layers.GlobalAveragePooling2D()(x)
        >>> model = keras.Model(inputs, keras.layers.Dense(10)(x))
        >>> plan = plan_pruning(model, 0.5, target="channels", ranking="layer")
        >>> [(group.layers, group.before, group.after) for group in plan.report.groups]
        [(('a',), 16, 8), (('b',), 32, 16)]
    """
    check_ratio(ratio, target)
    options = Options(
        importance=importance, ranking=ranking, round_to=round_to, max_layer_ratio=max_layer_ratio,
        calibration=calibration, seed=seed,
    )  # fmt: skip
    if ratio == 0:
        _check_options(target, options)
        graph = _counted_graph(model, target, keep)
        return describe_plan(graph, graph.keep_all(), target, ratio)
    ranked = _ranked(model, target, keep, options)
    return describe_plan(ranked.graph, _meet(ranked, ratio, target), target, ratio)


def most_that_goes(
    model: keras.Model, *, target: str = "flops", keep: Sequence[str] = (), **options: Unpack[Options]
) -> float:
    """The largest ratio that :func:`plan_pruning`, which has the same arguments, can reach."""
    ranked = _ranked(model, target, keep, options)
    cost = COSTS[target]
    return 1 - cost(ranked.graph, ranked.keep_least()) / max(cost(ranked.graph, ranked.graph.keep_all()), 1)


def _ranked(model: keras.Model, target: str, keep: Sequence[str], options: Options) -> Ranking:
    chosen: Options = {**_DEFAULTS, **options}
    _check_options(target, chosen)
    graph = _counted_graph(model, target, keep)
    scores = score_slices(
        graph, chosen["importance"], model=model, calibration=chosen["calibration"], seed=chosen["seed"]
    )
    return rank(
        graph, scores, chosen["ranking"], round_to=chosen["round_to"], max_layer_ratio=chosen["max_layer_ratio"]
    )


def _counted_graph(model: keras.Model, target: str, keep: Sequence[str]) -> DependencyGraph:
    graph = build_graph(model, keep)
    if target == "flops":
        check_counted(graph)
    return graph


def plan_width(
    model: keras.Model,
    width: float,
    importance: str | Score = "l2",
    *,
    round_to: int = 8,
    calibration: Calibration | None = None,
    seed: int = 0,
) -> PrunePlan:
    """Keep the share ``width`` of each layer's channels, the most important ones, rounded up to ``round_to``.

    Args:
        model: a functional Keras 3 model.
        width: more than 0 (of every layer, ``round_to`` channels stay at least) up to 1 (all).
        importance, round_to, calibration, seed: as for :func:`plan_pruning`.

    Raises:
        ModelError: an argument is out of range, or the model cannot be read.
    """
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not 0 < width <= 1:
        raise ModelError(f"Received width {width!r}; expected more than 0 and at most 1 (all): the share that stays.")
    ranked = _ranked(model, "channels", (), Options(
        importance=importance, ranking="layer", round_to=round_to, max_layer_ratio=1.0, calibration=calibration,
        seed=seed,
    ))  # fmt: skip
    return describe_plan(ranked.graph, ranked.keep_share(width), "channels", 1 - width)


def check_ratio(ratio: float, target: str) -> None:
    """Raise :class:`ModelError` when ``ratio`` is no share that can go."""
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 <= ratio < 1:
        raise ModelError(
            f"Received ratio {ratio!r}; expected 0 (a copy) up to, not including, 1: the share of the "
            f"{target} to remove."
        )


def _check_options(target: str, options: Options) -> None:
    ranking, round_to, max_layer_ratio = options["ranking"], options["round_to"], options["max_layer_ratio"]
    if target not in COSTS:
        raise ModelError(f"Unknown target {target!r}; expected one of {', '.join(COSTS)}.")
    if ranking not in RANKINGS:
        raise ModelError(f"Unknown ranking {ranking!r}; expected one of {', '.join(RANKINGS)}.")
    if isinstance(round_to, bool) or not isinstance(round_to, int) or round_to < 1:
        raise ModelError(f"Received round_to {round_to!r}; expected a whole number of at least 1.")
    if not 0 < max_layer_ratio <= 1:
        raise ModelError(f"Received max_layer_ratio {max_layer_ratio!r}; expected more than 0 and at most 1.")


def _meet(ranked: Ranking, ratio: float, target: str) -> Keep:
    graph = ranked.graph
    before = COSTS[target](graph, graph.keep_all())

    def cost(keep: Keep) -> int:
        return COSTS[target](graph, keep)

    chosen = ranked.keep_within(cost, (1 - ratio) * before)
    if chosen is None:
        raise ModelError(_out_of_reach(graph, target, ratio, 1 - cost(ranked.keep_least()) / max(before, 1)))
    return chosen


def _out_of_reach(graph: DependencyGraph, target: str, ratio: float, reachable: float) -> str:
    closed = "".join(f" {c.layer}: {c.reason}." for c in graph.closed_layers[:3])
    return (
        f"{100 * ratio:.4g} % of the {target} cannot be removed; at most {100 * reachable:.1f} % can. Lower the ratio, "
        f"or allow more with round_to, max_layer_ratio or fewer kept layers.{' Closed:' + closed if closed else ''}"
    )
