"""Writes the bundles that docs/performance.md measures, with random weights: speed does not depend on them.

    python benchmarks/make_bundles.py FOLDER [--only resnet-cifar --only resnet50 --only ladder]

Below FOLDER, each with the same models in one piece under `rivals/`:

- `resnet-cifar/fp32`, `resnet-cifar/int8`: the preset pair at full width (5.3 M and 1.2 M parameters, 32x32x3).
- `resnet50/fp32`, `resnet50/int8`: keras.applications.ResNet50 for 224x224 (25.6 M) cut into four groups of about
  equal bytes where a single tensor passes, and a student of own widths (below 8 % of its bytes) that halves the
  image in the same groups.
- `ladder/04` … `ladder/32`: one plain network of 32 convolutions cut into 4, 8, 16 and 32 groups.

Needs TensorFlow and, for int8, litert-quantizer; takes about 3 minutes on two cores.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

if TYPE_CHECKING:
    import keras

    from tfpwl.pairs import ModelPair
    from tfpwl.quantize import Calibration

LADDER = (4, 8, 16, 32)
CALIBRATION_IMAGES = 16
STUDENT_SHARE = 0.08


def cut_points(model: keras.Model) -> list[keras.KerasTensor]:
    """The tensors that all data passes, first to last: at each one the model falls into two."""
    steps = [layer for layer in model.layers if layer.output is not model.inputs[0]]
    needed = {id(model.outputs[0]): len(steps)}
    for step, layer in enumerate(steps):
        for tensor in itertools.chain(layer.input if isinstance(layer.input, list) else [layer.input]):
            needed[id(tensor)] = max(needed.get(id(tensor), 0), step)
    points, alive = [], {id(model.inputs[0])}
    for step, layer in enumerate(steps):
        alive = {tensor for tensor in alive if needed[tensor] > step} | {id(layer.output)}
        if len(alive) == 1 and step < len(steps) - 1:
            points.append(layer.output)
    return points


def cut(model: keras.Model, tensors: Sequence[keras.KerasTensor], name: str) -> tuple[keras.Model, ...]:
    """The groups of ``model`` between its input, ``tensors`` and its output."""
    import keras

    ends = [model.inputs[0], *tensors, model.outputs[0]]
    return tuple(keras.Model(a, b, name=f"{name}_g{i}") for i, (a, b) in enumerate(itertools.pairwise(ends)))


def balanced(model: keras.Model, num_groups: int) -> list[keras.KerasTensor]:
    """The cut whose largest group has the fewest parameters."""
    import keras

    points = cut_points(model)
    before = [keras.Model(model.inputs[0], point).count_params() for point in points]
    total = model.count_params()

    def largest(chosen: Sequence[int]) -> int:
        sizes = [0, *(before[i] for i in chosen), total]
        return max(b - a for a, b in itertools.pairwise(sizes))

    # Activations add nothing; a cut behind them keeps convolution, normalization and activation together.
    by_size = {size: i for i, size in enumerate(before)}
    candidates = sorted(by_size.values())
    chosen = min(itertools.combinations(candidates, num_groups - 1), key=largest)
    return [points[i] for i in chosen]


def resnet50_student(boundaries: Sequence[tuple[int, ...]]) -> tuple[keras.Model, ...]:
    """Four groups of basic blocks, 224x224x3 -> 14x14 -> 7x7 -> 7x7 -> 1000 classes, in the teacher's boundaries."""
    import keras

    from tfpwl.models.layers import Scope, conv_bn, relu

    if [shape[:2] for shape in boundaries] != [(14, 14), (7, 7), (7, 7)]:
        raise click.ClickException(f"ResNet-50 was cut at {list(boundaries)}; this student is made for 14, 7, 7.")

    def block(x: keras.KerasTensor, scope: Scope, what: str, width: int, stride: int) -> keras.KerasTensor:
        shortcut = x
        if stride != 1 or x.shape[-1] != width:
            shortcut = conv_bn(x, scope, f"{what}_shortcut", width, kernel=1, stride=stride)
        x = relu(conv_bn(x, scope, f"{what}_1", width, stride=stride), scope, f"{what}_1_relu")
        x = conv_bn(x, scope, f"{what}_2", width)
        return relu(keras.layers.Add(name=scope.layer(f"{what}_add"))([x, shortcut]), scope, f"{what}_relu")

    groups, shape = [], (224, 224, 3)
    plans = (((24, 2), (32, 2), (64, 2)), ((160, 2),), ((160, 1),), ())
    for index, plan in enumerate(plans):
        scope = Scope("student", index, seed=1)
        inputs = x = scope.input(shape)
        if index == 0:
            x = relu(conv_bn(x, scope, "stem", 24, stride=2), scope, "stem_relu")
        for number, (width, stride) in enumerate(plan):
            x = block(x, scope, f"block{number}", width, stride)
        shape = tuple(x.shape[1:])
        if index == len(plans) - 1:
            x = relu(conv_bn(x, scope, "last", 320, kernel=1), scope, "last_relu")
            x = keras.layers.GlobalAveragePooling2D(name=scope.layer("pool"))(x)
            x = keras.layers.Dense(1000, name=scope.layer("logits"))(x)
        groups.append(scope.model(inputs, x))
    return tuple(groups)


def write(folder: Path, name: str, pair: ModelPair, whole: Mapping[str, keras.Model], *, int8: bool) -> None:
    """The pair as bundles at fp32 and int8, and the whole models in one piece."""
    import numpy as np

    from tfpwl.export import export_model, export_pair

    files = export_pair(pair)
    one_piece = {side: export_model(model) for side, model in whole.items()}
    _write_precision(folder, name, "fp32", files, one_piece)
    if not int8:
        return
    try:
        from tfpwl.quantize import calibrate, quantize_files, quantize_whole
    except ImportError as exc:
        click.echo(f"{name}: no int8 bundle, because tfpwl.quantize does not import: {exc}", err=True)
        return
    x = np.random.default_rng(0).normal(size=(CALIBRATION_IMAGES, *pair.teacher[0].input_shape[1:]))
    calibration = calibrate(files, x.astype(np.float32))
    quantized = {
        side: quantize_whole(one_piece[side], *_as_teacher(side, files, calibration))
        for side in one_piece
    }  # fmt: skip
    _write_precision(folder, name, "int8", quantize_files(files, "int8", calibration), quantized)


def _as_teacher(
    side: str, files: Mapping[str, bytes], calibration: Calibration
) -> tuple[dict[str, bytes], str, Calibration]:
    """The groups of a side under the names by which quantize_whole looks for the teacher's."""
    stems = [f"g{i}.{side}" for i in range(len(calibration.boundaries) + 1)]
    renamed = {f"g{i}.teacher": stem for i, stem in enumerate(stems)}
    ranges = {new: calibration.ranges[old] for new, old in renamed.items()}
    return {new: files[old] for new, old in renamed.items()}, "int8", replace(calibration, ranges=ranges)


def _write_precision(
    folder: Path, name: str, precision: str, files: Mapping[str, bytes], whole: Mapping[str, bytes]
) -> None:
    import tensorflow as tf

    import tfpwl
    from tfpwl.bundle import Preprocess, Producer, write_bundle

    rivals = folder / "rivals"
    rivals.mkdir(parents=True, exist_ok=True)
    for side, content in whole.items():
        (rivals / f"{side}.{precision}.tflite").write_bytes(content)
    bundle = write_bundle(
        folder / precision,
        files=files,
        name=f"{name}-{precision}",
        precision=precision,
        producer=Producer(tfpwl.__version__, tf.__version__, "0" * 64),
        preprocess=Preprocess(1 / 255, (0.0,), (1.0,)),
    )
    student, teacher = (bundle.mix_bytes(side * bundle.manifest.num_groups) for side in "ST")
    groups = ", ".join(f"{group.teacher.bytes / 1e6:.2f}" for group in bundle.manifest.groups)
    click.echo(f"{bundle.root}: student {student / 1e6:.2f} MB, teacher {teacher / 1e6:.2f} MB ({groups})")


def make_resnet_cifar(folder: Path) -> None:
    from tfpwl.models import build_groups, find_preset
    from tfpwl.pairs import compose, make_pair

    preset = find_preset("resnet-cifar")
    sides = {
        side: build_groups(preset.family, preset.input_shape, 10, name=side, seed=seed, **getattr(preset, side))
        for seed, side in enumerate(("student", "teacher"))
    }
    pair = make_pair(sides["student"], sides["teacher"])
    write(folder, "resnet-cifar", pair, {side: compose(groups, side) for side, groups in sides.items()}, int8=True)


def make_resnet50(folder: Path) -> None:
    import keras

    from tfpwl.pairs import compose, make_pair

    keras.utils.set_random_seed(0)
    whole = keras.applications.ResNet50(weights=None, classifier_activation=None)
    teacher = cut(whole, balanced(whole, 4), "teacher")
    student = resnet50_student([tuple(group.output_shape[1:]) for group in teacher[:-1]])
    share = sum(group.count_params() for group in student) / whole.count_params()
    if share > STUDENT_SHARE:
        raise click.ClickException(f"The student has {100 * share:.1f} % of the teacher's weights; at most 8 wanted.")
    pair = make_pair(student, teacher)
    write(folder, "resnet50", pair, {"student": compose(student, "student"), "teacher": whole}, int8=True)


def make_ladder(folder: Path) -> None:
    import keras

    from tfpwl.pairs import make_pair

    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((16, 16, 32))
    ends = []
    for _ in range(max(LADDER)):
        x = keras.layers.Conv2D(32, 3, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        ends.append(x)
    logits = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x))
    whole = keras.Model(inputs, logits, name="ladder")
    for num_groups in LADDER:
        every = max(LADDER) // num_groups
        groups = cut(whole, ends[every - 1 : -1 : every], "ladder")
        # The same files on both sides: what counts here is the number of boundaries.
        work = folder / f"{num_groups:02d}"
        write(work, f"ladder-{num_groups}", make_pair(groups, groups), {"teacher": whole}, int8=False)


MAKERS = {"resnet-cifar": make_resnet_cifar, "resnet50": make_resnet50, "ladder": make_ladder}


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--only", multiple=True, type=click.Choice(list(MAKERS)), help="Make these; all by default.")
def main(folder: Path, only: tuple[str, ...]) -> None:
    for name in only or MAKERS:
        work = folder / f".{name}.partial"
        shutil.rmtree(work, ignore_errors=True)
        MAKERS[name](work)
        shutil.rmtree(folder / name, ignore_errors=True)
        work.rename(folder / name)
        click.echo(f"{folder / name} is there.")


if __name__ == "__main__":
    main()
