"""The stage ``train`` of a pipeline whose teacher is somebody's Keras model: read, checked, cut, taken as it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from tfpwl.config import PipelineConfig
from tfpwl.data import Dataset
from tfpwl.errors import ModelError
from tfpwl.models import cut, load_functional, split_softmax
from tfpwl.pairs import compose, save_side
from tfpwl.pipeline.fitting import OnProgress, accuracy, finish, fit_groups
from tfpwl.pipeline.pairing import pair_up
from tfpwl.training import History

_SQUASHING = ("sigmoid", "hard_sigmoid", "tanh", "log_sigmoid")
_DEVIATIONS = 3.0  # that guessing reaches this many standard deviations above chance happens once in 700 tries


def take_teacher(
    config: PipelineConfig, data: Dataset, path: Path, work: Path, on_progress: OnProgress
) -> dict[str, Any]:
    """Cut the model of ``teacher: {keras: …}`` into groups; fine-tune it where ``train:`` is given.

    A final softmax is taken off, because training wants logits; ``output`` in the metrics says that it was there, and
    the export puts it back.

    Args:
        config: the pipeline.
        data: its data set.
        path: of the Keras model.
        work: folder to write the groups and ``metrics.json`` into.
        on_progress: hears of the fine-tuning.

    Returns:
        The stage's metrics: the accuracy that the teacher has, ``output`` and, where it is no better than guessing, a
        note on why.

    Raises:
        ModelError: the model cannot be read, cut, or used with these data; names the line of the YAML.
    """
    with _at(config.place("teacher", "keras")):
        model = _fitted_to(load_functional(path), data)
        logits, softmax = split_softmax(model)
        _check_ending(logits)
    logits.name = "teacher"
    key = "groups" if config.teacher.cuts is None else "cuts"
    with _at(config.place("teacher", key)):
        teacher = cut(logits, config.teacher.groups, config.teacher.cuts)
        _check_boundaries(teacher)
    if config.student.derive is None:
        pair_up(config, data, teacher)  # a mistake in the student's section must show before the teacher is fine-tuned
    found = accuracy(compose(teacher, "teacher"), data.test, data)
    history = History(())
    if config.teacher.train is not None:
        history = fit_groups(teacher, config.teacher.train, config, data, work=work, on_progress=on_progress)
    save_side(teacher, work, "teacher")
    metrics = finish(work, history, compose(teacher, "teacher"), data)
    return {
        **metrics,
        "given_accuracy": found,
        "output": "logits" if softmax is None else "probabilities",
        "notes": _doubts(config, data, found),
    }


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Errors say which line of the YAML they are about."""
    try:
        yield
    except ModelError as exc:
        raise type(exc)(f"{place}: {exc}") from exc


def _fitted_to(model: keras.Model, data: Dataset) -> keras.Model:
    """The model, with the data's image size where its own is free.

    Raises:
        ModelError: it does not map one image of the data to one number per class.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"The model has {len(model.inputs)} inputs and {len(model.outputs)} outputs; expected an image classifier "
            "with one of each."
        )
    image, answer = model.inputs[0], model.outputs[0]
    if len(image.shape) != 4:
        raise ModelError(f"The model takes {_shown(image.shape)}; expected images, (height, width, channels).")
    if image.dtype != "float32" or answer.dtype != "float32":
        raise ModelError(
            f"The model maps {image.dtype} to {answer.dtype}; expected float32 at both ends. Save it with a float32 "
            "input and dtype policy."
        )
    if any(own not in (None, given) for own, given in zip(image.shape[1:], data.input_shape, strict=True)):
        raise ModelError(f"The model takes {_shown(image.shape)} and the data are {data.input_shape}; {_way_out(data)}")
    if len(answer.shape) != 2 or answer.shape[-1] != data.num_classes:
        raise ModelError(
            f"The model answers with {_shown(answer.shape)} and the data have {data.num_classes} classes; expected one "
            "number per class."
        )
    if None not in image.shape[1:]:
        return model
    fixed = keras.models.clone_model(model, input_tensors=keras.Input(data.input_shape))
    fixed.set_weights(model.get_weights())
    return fixed


def _shown(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape[1:])})"


def _way_out(data: Dataset) -> str:
    grey = " `channels: 3` in `data:` repeats grey." if data.input_shape[-1] == 1 else ""
    return (
        "give it images of its size: `image_size:` in `data:` resizes a folder's, and a function (`python:`) can "
        f"resize any.{grey}"
    )


def _check_ending(logits: keras.Model) -> None:
    last = logits.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__.lower())
    if activation in _SQUASHING:
        raise ModelError(
            f"The model ends in {activation}, layer {last.name!r}; expected logits or a softmax over the classes, "
            "which the losses of distillation need. Replace its last layer and train that."
        )


def _check_boundaries(groups: Sequence[keras.Model]) -> None:
    for group in groups[:-1]:
        if group.output.dtype != "float32" or None in group.output.shape[1:]:
            raise ModelError(
                f"After {group.layers[-1].name!r} the model has a {group.output.dtype} tensor of shape "
                f"{_shown(group.output.shape)}; expected float32 and fixed sizes. Save it without mixed "
                "precision, with every size in its keras.Input."
            )


def _doubts(config: PipelineConfig, data: Dataset, found: float) -> list[str]:
    chance = 1.0 / data.num_classes
    if found > chance + _DEVIATIONS * math.sqrt(chance * (1.0 - chance) / len(data.test)):
        return []
    p = data.preprocess
    given = "`preprocess:` gives" if config.data.preprocess is not None else "no `preprocess:` is given, so it gets"
    return [
        f"The teacher is right for {100 * found:.1f} % of the test images before any training, no better than guessing "
        f"among {data.num_classes} classes. Most likely it wants other input: {config.place('data', 'preprocess')}: "
        f"{given} (raw × {p.scale:.6g} - {_numbers(p.mean)}) / {_numbers(p.std)}. `preprocess: {{}}` hands raw pixels "
        "on, `{scale: 0.00784314, mean: 1.0}` makes -1 to 1 of 0 to 255. Or its classes are in another order."
    ]


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in dict.fromkeys(values))
