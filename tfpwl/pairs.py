"""A student and a teacher cut into the same number of groups, with the maps between them.

A **group** is one Keras model from boundary to boundary. Boundary ``i`` is the tensor between
group ``i`` and group ``i+1``; student and teacher have the same shape there except for the channel
count (the last axis). Where channel counts differ, **encoder** ``i`` maps teacher channels to student
channels and **decoder** ``i`` maps student channels to teacher channels, position by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from tfpwl.errors import BoundaryError, ModelError
from tfpwl.mix import STUDENT, Mix

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Boundary:
    """The tensor between group ``index`` and group ``index + 1``; shapes are without the batch axis."""

    index: int
    student: Shape
    teacher: Shape

    @property
    def needs_converters(self) -> bool:
        """Whether the channel counts differ, so that an encoder and a decoder exist."""
        return self.student[-1] != self.teacher[-1]


@dataclass(frozen=True)
class ModelPair:
    """Student and teacher groups, and the converters at the boundaries between them.

    ``encoders[i]`` and ``decoders[i]`` belong to boundary ``i`` and are ``None`` where the channel counts
    are equal. Make one with :func:`make_pair`, which checks that the two sides meet.
    """

    student: tuple[keras.Model, ...]
    teacher: tuple[keras.Model, ...]
    encoders: tuple[keras.Model | None, ...]
    decoders: tuple[keras.Model | None, ...]

    @property
    def num_groups(self) -> int:
        return len(self.student)

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        return find_boundaries(self.student, self.teacher)

    def group(self, index: int, side: str) -> keras.Model:
        """The group ``index`` of side ``"S"`` or ``"T"``."""
        return (self.student if side == STUDENT else self.teacher)[index]

    def converter(self, boundary: int, into: str) -> keras.Model | None:
        """The map at ``boundary`` into the channels of side ``into``: encoder for ``"S"``, decoder for ``"T"``."""
        return (self.encoders if into == STUDENT else self.decoders)[boundary]

    def chain(self, mix: Mix) -> tuple[keras.Model, ...]:
        """The models that run one after another for ``mix``, converters included."""
        steps: list[keras.Model] = []
        for index, side in enumerate(mix):
            if index and mix[index - 1] != side and (converter := self.converter(index - 1, side)) is not None:
                steps.append(converter)
            steps.append(self.group(index, side))
        return tuple(steps)


def compose(steps: Sequence[keras.Model], name: str) -> keras.Model:
    """One functional model that runs ``steps`` one after another (weights are shared, not copied)."""
    inputs = keras.Input(steps[0].input_shape[1:], name="input")
    outputs = inputs
    for step in steps:
        outputs = step(outputs)
    return keras.Model(inputs, outputs, name=name)


def find_boundaries(student: Sequence[keras.Model], teacher: Sequence[keras.Model]) -> tuple[Boundary, ...]:
    """The boundaries of two sides that already match in number of groups."""
    return tuple(
        Boundary(i, tuple(s.output_shape[1:]), tuple(t.output_shape[1:]))
        for i, (s, t) in enumerate(zip(student[:-1], teacher[:-1], strict=True))
    )


def make_pair(student: Sequence[keras.Model], teacher: Sequence[keras.Model], *, seed: int = 0) -> ModelPair:
    """Pair a student with a teacher and make fresh converters where channel counts differ.

    Args:
        student: the student's groups, first to last; each maps one tensor to one tensor.
        teacher: the teacher's groups, as many.
        seed: of the converters' initial weights.

    Raises:
        BoundaryError: the counts of groups differ, or a boundary differs in more than its channels.
        ModelError: input or output shapes differ, or a student's boundary is wider than the teacher's.

    Example:
        >>> from tfpwl.models import resnet                                        # doctest: +SKIP
        >>> pair = make_pair(resnet((8, 8, 1), 10, (4, 8), (1, 1), name="student"),
        ...                  resnet((8, 8, 1), 10, (8, 16), (2, 2), name="teacher"))  # doctest: +SKIP
        >>> [b.needs_converters for b in pair.boundaries]                          # doctest: +SKIP
        [True]
    """
    if len(student) != len(teacher):
        raise BoundaryError(
            f"The student has {len(student)} groups and the teacher {len(teacher)}; a pair needs the same number. "
            "Give both sides as many widths (or the same `groups:`)."
        )
    _check_ends(student, teacher)
    boundaries = find_boundaries(student, teacher)
    for boundary in boundaries:
        _check_boundary(boundary)
    converters = [_make_converters(boundary, seed) for boundary in boundaries]
    return ModelPair(tuple(student), tuple(teacher), tuple(e for e, _ in converters), tuple(d for _, d in converters))


def _check_ends(student: Sequence[keras.Model], teacher: Sequence[keras.Model]) -> None:
    for what, s, t in (
        ("input", student[0].input_shape[1:], teacher[0].input_shape[1:]),
        ("output", student[-1].output_shape[1:], teacher[-1].output_shape[1:]),
    ):
        if tuple(s) != tuple(t):
            raise ModelError(
                f"The student's {what} shape is {tuple(s)} and the teacher's {tuple(t)}; both sides must take the "
                "same input and give the same classes."
            )


def _check_boundary(boundary: Boundary) -> None:
    s, t = boundary.student, boundary.teacher
    if s[:-1] != t[:-1]:
        raise BoundaryError(
            f"Boundary {boundary.index}: the student's feature has shape {s} and the teacher's {t}; all but the last "
            "axis (channels) must be equal. Make both sides downsample in the same groups."
        )
    if s[-1] > t[-1]:
        raise ModelError(
            f"Boundary {boundary.index}: the student has {s[-1]} channels and the teacher {t[-1]}; the student may "
            "not be wider than the teacher. Lower the student's width there."
        )


def _make_converters(boundary: Boundary, seed: int) -> tuple[keras.Model | None, keras.Model | None]:
    if not boundary.needs_converters:
        return None, None
    s, t = boundary.student, boundary.teacher
    encoder = _linear_map(t, s[-1], f"b{boundary.index}_encoder", seed + 2 * boundary.index)
    decoder = _linear_map(s, t[-1], f"b{boundary.index}_decoder", seed + 2 * boundary.index + 1)
    return encoder, decoder


def _linear_map(shape: Shape, channels: int, name: str, seed: int) -> keras.Model:
    inputs = keras.Input(shape, name=f"{name}_input")
    init = keras.initializers.GlorotUniform(seed=seed)
    if len(shape) == 3:
        # A 1x1 convolution is the same map as a Dense layer, and TFLite runs it without a reshape.
        layer = keras.layers.Conv2D(channels, 1, kernel_initializer=init, name=f"{name}_linear")
    else:
        layer = keras.layers.Dense(channels, kernel_initializer=init, name=f"{name}_linear")
    return keras.Model(inputs, layer(inputs), name=name)


def named_models(pair: ModelPair) -> dict[str, keras.Model]:
    """Every model of the pair under the stem of its file name in a bundle: ``g0.student``, ``b0.encoder``, …"""
    models: dict[str, keras.Model] = {}
    for i in range(pair.num_groups):
        models[f"g{i}.student"] = pair.student[i]
        models[f"g{i}.teacher"] = pair.teacher[i]
    for i, (encoder, decoder) in enumerate(zip(pair.encoders, pair.decoders, strict=True)):
        if encoder is not None and decoder is not None:
            models[f"b{i}.encoder"] = encoder
            models[f"b{i}.decoder"] = decoder
    return models


def save_pair(pair: ModelPair, folder: Path) -> None:
    """Write every model of the pair as ``<stem>.keras`` into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, model in named_models(pair).items():
        model.save(folder / f"{stem}.keras")


def load_pair(folder: Path) -> ModelPair:
    """Read a pair that :func:`save_pair` wrote.

    Raises:
        ModelError: when the folder does not hold a whole pair.
    """
    student, teacher = load_side(folder, "student"), load_side(folder, "teacher")
    converters = [
        tuple(
            _load(folder / f"b{i}.{what}.keras") if (folder / f"b{i}.{what}.keras").exists() else None
            for what in ("encoder", "decoder")
        )
        for i in range(len(student) - 1)
    ]
    return ModelPair(student, teacher, tuple(e for e, _ in converters), tuple(d for _, d in converters))


def save_side(groups: Sequence[keras.Model], folder: Path, side: str) -> None:
    """Write the groups of one side (``"student"`` or ``"teacher"``) into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, group in enumerate(groups):
        group.save(folder / f"g{i}.{side}.keras")


def load_side(folder: Path, side: str) -> tuple[keras.Model, ...]:
    """Read the groups of one side from ``folder``.

    Raises:
        ModelError: when there is none.
    """
    paths = sorted(folder.glob(f"g*.{side}.keras"), key=lambda p: int(p.name.split(".")[0][1:]))
    if not paths:
        raise ModelError(f"No {side} groups in {folder}; expected files g0.{side}.keras, g1.{side}.keras, …")
    return tuple(_load(path) for path in paths)


def _load(path: Path) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError) as exc:
        raise ModelError(f"Cannot read the Keras model {path}: {exc}") from exc
