"""Ranges of every tensor, from the images that really reach each file under the mixes of a path.

litert-quantizer's own ``calibrate`` is not used for this: it averages the ranges of the images with a weight of 0.05
for the newest, so that only the last few dozen images count and their order changes the file, and it does not say
what a file answers, which the next file has to be fed with. One pass here does both.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl.bundle.assemble import check_stems
from tfpwl.errors import QuantizationError
from tfpwl.mix import Mix, path, prefix_order
from tfpwl.quantize.chain import End, Run, chain, ends, runs
from tfpwl.quantize.graph import Graph, read_graph
from tfpwl.quantize.ranges import Range, RangeObserver

Array = NDArray[Any]
TensorRanges = Mapping[str, Range]


@dataclass(frozen=True, slots=True)
class BoundaryRange:
    """The one range of each side of a boundary, over all mixes and all files that write it."""

    student: Range
    teacher: Range

    def side(self, side: str) -> Range:
        """The range of ``"student"`` or ``"teacher"``."""
        return self.student if side == "student" else self.teacher


@dataclass(frozen=True)
class Calibration:
    """What int8 needs to know.

    Attributes:
        ranges: by stem and tensor name; the tensors at a boundary carry the boundary's range in every file.
        boundaries: the range of both sides of each boundary, first to last.
        mixes: the mixes whose data was looked at.
        num_images: how many images were looked at.
    """

    ranges: Mapping[str, TensorRanges]
    boundaries: tuple[BoundaryRange, ...]
    mixes: tuple[Mix, ...]
    num_images: int


def calibrate(
    files: Mapping[str, bytes],
    x: Array,
    mixes: Sequence[Mix] | None = None,
    *,
    boundaries: Sequence[BoundaryRange] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Run float files over images and note the range of every tensor.

    Each file sees the data that reaches it under ``mixes``: a student group behind a teacher group sees what the
    encoder makes of the teacher's features. A converter that no mix uses is fed by a mix that does, and its output
    does not count for the boundary: on the path nobody writes there but the others.

    Args:
        files: float ``.tflite`` bytes by stem, as :func:`tfpwl.export.export_pair` returns them.
        x: preprocessed images, ``(n, *input shape)``, float32; some hundreds, of all classes.
        mixes: whose data counts; those of the prefix path by default.
        boundaries: ranges to pin, one entry per boundary, in place of those that the images show: those that
            quantization-aware training has learnt.
        on_progress: called with ``(runs done, runs in all)``, a run being one file over all images.

    Returns:
        The ranges, with one range per boundary and side.

    Raises:
        QuantizationError: there are no images, or of another shape; activations are NaN or infinite; a boundary, the
            images or the answers are 0 throughout; a file does not run.
        ContractError: files are missing or superfluous.
        ValueError: a mix has not one letter per group, or ``boundaries`` are more or fewer than the pair has.

    Example:
        >>> calibration = calibrate(files, x[:512])                                # doctest: +SKIP
        >>> calibration.boundaries[0].teacher                                      # doctest: +SKIP
        Range(low=0.0, high=2.87)
    """
    num_groups = check_stems(files)
    mixes = path(prefix_order(num_groups)) if mixes is None else tuple(map(Mix, mixes))
    wrong = [str(mix) for mix in mixes if len(mix) != num_groups]
    if wrong or not mixes:
        raise ValueError(f"Received mixes {wrong or 'none'}; expected one letter for each of {num_groups} groups.")
    observed = _observe(files, x, mixes, on_progress)
    _check_finite(observed.values())
    seen = tuple(_boundary(i, files, mixes, observed) for i in range(num_groups - 1))
    pinned = seen if boundaries is None else tuple(boundaries)
    if len(pinned) != len(seen):
        raise ValueError(f"Received ranges of {len(pinned)} boundaries; expected {len(seen)}.")
    ranges = {stem: _pin(stem, one, pinned, num_groups) for stem, one in observed.items()}
    return Calibration(ranges, pinned, mixes, len(x))


class ObservedFile:
    """A float file in an interpreter that keeps every activation, and the ranges of all of them so far."""

    def __init__(self, stem: str, model: bytes) -> None:
        # Here and not above: importing the binding takes 0.2 s.
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

        self.stem = stem
        self.graph: Graph = read_graph(model)
        try:
            with warnings.catch_warnings():
                # It says that keeping all tensors is experimental.
                warnings.simplefilter("ignore")
                self._interpreter = Interpreter(
                    model_content=model, num_threads=1, experimental_preserve_all_tensors=True
                )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as exc:
            raise QuantizationError(f"{stem}.tflite does not load: {exc}. Export the pair again.") from exc
        self._observers = {index: RangeObserver() for index in self.graph.activations}

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.graph.tensors[self.graph.input].shape

    def run(self, batch: Array, *, observe: bool = True) -> Array:
        """The file's answer; with ``observe``, all activations count for their ranges."""
        self._interpreter.set_tensor(self.graph.input, batch)
        self._interpreter.invoke()
        if observe:
            for index, observer in self._observers.items():
                observer.see(self._interpreter.get_tensor(index))
        answer: Array = self._interpreter.get_tensor(self.graph.output)
        return answer

    def seen(self) -> dict[int, Range]:
        """The range of every activation by tensor index, whatever it holds."""
        return {index: observer.range() for index, observer in self._observers.items()}

    def range(self, index: int) -> Range:
        """The range of a tensor.

        Raises:
            QuantizationError: it holds NaN or infinite values.
        """
        where = f"{self.stem}.tflite, tensor {self.graph.tensors[index].name!r}"
        return self._observers[index].range().checked(where)

    def ranges(self) -> dict[int, Range]:
        """The range of every activation, by tensor index."""
        return {index: self.range(index) for index in self._observers}


def _observe(
    files: Mapping[str, bytes], x: Array, mixes: Sequence[Mix], on_progress: Callable[[int, int], None] | None
) -> dict[str, ObservedFile]:
    observed = {stem: ObservedFile(stem, model) for stem, model in files.items()}
    batches = as_batches(x, observed["g0.student"].input_shape)
    reached = {stem for mix in mixes for stem in chain(files, mix)}
    detours = _detours(files, reached, len(mixes[0]))
    passes = [(runs(files, mixes), reached), (runs(files, detours), set(files) - reached)]
    total, done = sum(_count(first) for first, _ in passes), 0

    def run(one: Run, given: list[Array], counting: set[str]) -> None:
        nonlocal done
        answers = [observed[one.stem].run(batch, observe=one.stem in counting) for batch in given]
        done += 1
        if on_progress is not None:
            on_progress(done, total)
        for following in one.following:
            run(following, answers, counting)

    for first, counting in passes:
        for one in first:
            run(one, batches, counting)
    return observed


def as_batches(x: Array, shape: tuple[int, ...]) -> list[Array]:
    """``x`` in whole batches of a file's fixed input shape; the last one is filled up with its last image.

    Raises:
        QuantizationError: ``x`` is empty, has another shape or dtype, or holds NaN.
    """
    if x.ndim == 0 or len(x) == 0:
        raise QuantizationError(
            "Received no calibration images; int8 needs some hundreds of them to find the ranges of the activations."
        )
    if x.shape[1:] != shape[1:] or x.dtype != np.float32:
        raise QuantizationError(
            f"Received calibration images of shape {list(x.shape[1:])} and dtype {x.dtype}; expected "
            f"{list(shape[1:])}, float32, preprocessed as for training."
        )
    if not np.isfinite(x).all():
        raise QuantizationError(
            f"Received calibration images of which {int((~np.isfinite(x)).sum())} values are NaN or infinite; expected "
            "finite ones."
        )
    if not x.any():
        raise QuantizationError(f"Received {len(x)} calibration images that are 0 throughout; expected real ones.")
    missing = -len(x) % shape[0]
    filled = np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) if missing else x
    return [filled[start : start + shape[0]] for start in range(0, len(filled), shape[0])]


def _detours(stems: Iterable[str], reached: set[str], num_groups: int) -> tuple[Mix, ...]:
    """A mix for each file that the others leave out."""
    mixes = []
    for stem in sorted(set(stems) - reached):
        place, _, what = stem.partition(".")
        before = int(place[1:]) + 1
        if what in ("encoder", "decoder"):
            first, second = ("T", "S") if what == "encoder" else ("S", "T")
            mixes.append(Mix(first * before + second * (num_groups - before)))
        else:
            mixes.append(Mix(("S" if what == "student" else "T") * num_groups))
    return tuple(mixes)


def _count(first: Iterable[Run]) -> int:
    return sum(1 + _count(run.following) for run in first)


def _check_finite(observed: Iterable[ObservedFile]) -> None:
    """Blame the file in which NaN or infinite values arise, not those that they reach."""
    broken = [one for one in observed if not all(found.is_finite for found in one.seen().values())]
    for one in sorted(broken, key=lambda one: not one.seen()[one.graph.input].is_finite):
        one.ranges()


def _boundary(
    index: int, files: Mapping[str, bytes], mixes: Sequence[Mix], observed: Mapping[str, ObservedFile]
) -> BoundaryRange:
    student, teacher = (_written(End(index, side), files, mixes, observed) for side in ("student", "teacher"))
    if f"b{index}.encoder" in files:
        return BoundaryRange(student, teacher)
    # Without converters a tensor goes from one side's file straight into the other's: both need the same scale.
    both = student.merge(teacher)
    return BoundaryRange(both, both)


def _written(end: End, files: Mapping[str, bytes], mixes: Sequence[Mix], observed: Mapping[str, ObservedFile]) -> Range:
    """The range of all that is written at an end under the mixes."""
    used = {stem for mix in mixes for stem in chain(files, mix)}
    writers = [stem for stem in files if ends(stem, len(mixes[0]))[1] == end]
    counting = [stem for stem in writers if stem in used] or writers
    found = [observed[stem].range(observed[stem].graph.output) for stem in counting]
    merged = reduce(Range.merge, found)
    if merged.is_dead:
        graph = observed[counting[0]].graph
        raise QuantizationError(
            f"{counting[0]}.tflite, tensor {graph.tensors[graph.output].name!r}: {end} is 0 for every calibration "
            "image, so that its scale would be 0 and nothing of the image gets through. Give other images; if they are "
            "right, the training has collapsed."
        )
    return merged


def _pin(stem: str, observed: ObservedFile, boundaries: Sequence[BoundaryRange], num_groups: int) -> dict[str, Range]:
    """The ranges of a file by tensor name, with the boundaries' own at its ends."""
    graph, by_index = observed.graph, observed.ranges()
    for index in (graph.input, graph.output):
        if by_index[index].is_dead:
            raise QuantizationError(
                f"{stem}.tflite, tensor {graph.tensors[index].name!r}: 0 for every calibration image, so that its "
                "scale would be 0. Give other images; if they are right, the training has collapsed."
            )
    before, after = ends(stem, num_groups)
    if before is not None:
        by_index[graph.input] = boundaries[before.index].side(before.side)
    if after is not None:
        by_index.update(dict.fromkeys(graph.tied_to_output, boundaries[after.index].side(after.side)))
    return {graph.tensors[index].name: found.widened() for index, found in by_index.items()}
