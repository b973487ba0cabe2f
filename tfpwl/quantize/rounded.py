"""The mixes of a pair with int8 rounding pretended at every boundary, for quantization-aware training.

Rounding and its straight-through gradient: Jacob et al., arXiv 1712.05877, sections 2.1 and 3. Learning the range of a
tensor through the same gradient, in the logarithm of its scale: Jain et al., arXiv 1903.08066 (TQT), section 3.3.
Importing this module imports TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfpwl.quantize.calibration import BoundaryRange
from tfpwl.quantize.chain import End, Run, ends
from tfpwl.quantize.ranges import Range, RangeObserver

_LOWEST, _HIGHEST = -128.0, 127.0


class Grid:
    """The int8 grid of one end of a boundary: ``grid(x)`` is what int8 makes of ``x``, in float.

    Args:
        place: the range.
        learn: whether the range may grow and shrink; both ends by the same factor, so the zero point stays.
    """

    def __init__(self, place: Range, *, learn: bool = False) -> None:
        self._place = place
        self._zero_point = float(place.zero_point)
        self.log_factor = tf.Variable(0.0) if learn else None

    def __call__(self, x: Any, *, learn: bool = True) -> Any:
        """``x`` rounded; gradients reach the range only with ``learn``."""
        scale = tf.constant(self._place.scale, tf.float32)
        if self.log_factor is not None:
            scale *= tf.exp(self.log_factor if learn else tf.stop_gradient(self.log_factor))
        level = tf.clip_by_value(x / scale, _LOWEST - self._zero_point, _HIGHEST - self._zero_point)
        # The gradient takes rounding for the identity. That of the scale is then what rounding adds to a value, or
        # the last level for a clipped one.
        return (level + tf.stop_gradient(tf.round(level) - level)) * scale

    def range(self) -> Range:
        """The range as it is now."""
        if self.log_factor is None:
            return self._place
        factor = math.exp(float(self.log_factor.numpy()))
        return Range(self._place.low * factor, self._place.high * factor)


class Grids:
    """The grids of all boundaries. Where there are no converters, both sides are one tensor and have one grid."""

    def __init__(self, ranges: Sequence[BoundaryRange], with_converters: Sequence[bool], *, learn: bool) -> None:
        self._by_end: dict[End, Grid] = {}
        for index, (found, apart) in enumerate(zip(ranges, with_converters, strict=True)):
            student, teacher = found.student.widened(), found.teacher.widened()
            if apart:
                self._by_end[End(index, "student")] = Grid(student, learn=learn)
                self._by_end[End(index, "teacher")] = Grid(teacher, learn=learn)
            else:
                both = Grid(student.merge(teacher), learn=learn)
                self._by_end |= {End(index, "student"): both, End(index, "teacher"): both}
        self._num = len(ranges)

    def __getitem__(self, end: End) -> Grid:
        return self._by_end[end]

    @property
    def variables(self) -> list[Any]:
        """What is learned, each once."""
        found = {id(grid): grid.log_factor for grid in self._by_end.values() if grid.log_factor is not None}
        return list(found.values())

    def ranges(self) -> tuple[BoundaryRange, ...]:
        return tuple(
            BoundaryRange(self[End(i, "student")].range(), self[End(i, "teacher")].range()) for i in range(self._num)
        )


class RoundedMixes:
    """All mixes of a tree of runs as one function of the images.

    Args:
        models: quantized twins by stem.
        tree: the runs, shared beginnings once.
        grids: of the boundaries.
        image: the grid of the images.
        num_groups: of the pair.
    """

    def __init__(
        self, models: Mapping[str, Any], tree: Sequence[Run], grids: Grids, image: Grid, num_groups: int
    ) -> None:
        self._models, self._tree, self._grids, self._image = models, tree, grids, image
        self._num_groups = num_groups
        reached = stems(tree)
        self._aside = [stem for stem in sorted(models) if stem not in reached]
        self.variables = [v for stem in sorted(reached) for v in models[stem].trainable_weights]
        self.variables_aside = [v for stem in self._aside for v in models[stem].trainable_weights]

    def __call__(self, x: Any) -> tuple[list[Any], list[tuple[Any, Any]]]:
        """The logits of every mix in the order of the tree, and (answer, target) of each converter that none runs.

        A converter aside of the path is not left behind when the features change: its target is the feature of the
        side it leads to, which learns nothing from it.
        """
        logits: list[Any] = []
        features: dict[End, Any] = {}
        x = self._image(x)
        for run in self._tree:
            self._visit(run, x, "", logits, features)
        pairs = []
        for stem in self._aside:
            source, target = ends(stem, self._num_groups)
            if source in features and target in features:
                answer = self._models[stem](tf.stop_gradient(features[source]), training=True)
                pairs.append((self._grids[target](answer, learn=False), tf.stop_gradient(features[target])))
        return logits, pairs

    def _visit(self, run: Run, x: Any, sides: str, logits: list[Any], features: dict[End, Any]) -> None:
        y = self._models[run.stem](x, training=True)
        end = ends(run.stem, self._num_groups)[1]
        if end is None:
            logits.append(y)
            return
        y = self._grids[end](y)
        sides += run.stem.partition(".")[2][0]  # s, t, e, d
        if len(set(sides)) == 1:  # one side alone so far
            features[end] = y
        for following in run.following:
            self._visit(following, y, sides, logits, features)


def stems(tree: Sequence[Run]) -> set[str]:
    """Every file that runs in the tree."""
    return {run.stem for run in tree}.union(*(stems(run.following) for run in tree))


class FloatRanges:
    """Smallest and largest values of the float pair: of the images, at every end, and of every layer by stem."""

    def __init__(self, probes: Mapping[str, Any], tree: Sequence[Run], num_groups: int) -> None:
        self._probes, self._tree, self._num_groups = probes, tree, num_groups
        self._images = RangeObserver()
        self._layers: dict[str, dict[str, RangeObserver]] = {stem: {} for stem in probes}
        self._outputs: dict[End, RangeObserver] = {}
        self._aside = [stem for stem in sorted(probes) if stem not in stems(tree)]

    def see(self, x: Any) -> None:
        """Run a batch of images through every mix."""
        self._images.see(x)
        features: dict[End, Any] = {}
        for run in self._tree:
            self._visit(run, x, features)
        for stem in self._aside:
            source, _ = ends(stem, self._num_groups)
            if source in features:
                self._run(stem, features[source])

    def _visit(self, run: Run, x: Any, features: dict[End, Any]) -> None:
        y = self._run(run.stem, x)
        end = ends(run.stem, self._num_groups)[1]
        if end is not None:
            features.setdefault(end, y)
            self._outputs.setdefault(end, RangeObserver()).see(y.numpy())
        for following in run.following:
            self._visit(following, y, features)

    def _run(self, stem: str, x: Any) -> Any:
        outputs, last = self._probes[stem](x)
        for name, value in outputs.items():
            self._layers[stem].setdefault(name, RangeObserver()).see(value.numpy())
        return last

    @property
    def images(self) -> Range:
        return self._images.range().checked("The training images").widened()

    def layers(self, stem: str) -> dict[str, Range]:
        """The range of each layer's output in the model of ``stem``.

        Raises:
            QuantizationError: NaN or infinite values.
        """
        return {
            name: seen.range().checked(f"{stem}, layer {name!r}").widened() for name, seen in self._layers[stem].items()
        }

    def boundaries(self) -> tuple[BoundaryRange, ...]:
        """The ranges of both sides of each boundary."""
        return tuple(
            BoundaryRange(
                *(self._outputs[End(i, side)].range().checked(str(End(i, side))) for side in ("student", "teacher"))
            )
            for i in range(self._num_groups - 1)
        )
