"""Prune every functional model of keras.applications and our families to half their FLOPs, and check the answers.

    python benchmarks/prune_zoo.py [--only MobileNetV2] [--write docs/pruning.md]

For each model: time of plan and surgery, what is left of FLOPs and parameters, the largest difference to the whole
model with the same channels zeroed (tests/masked_reference.py, which shares no code with the surgery), the
control (how far the whole model is from that), and whether the .tflite file converts and runs. Weights are random but
scaled so that the answers depend on the input; channels are drawn at random, so that no rule is spared. With --write
the table replaces the one between the markers of the Markdown file.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

# Smallest input that the model takes (or that leaves it more than one pixel where it matters).
ZOO = {
    "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Small": 32, "MobileNetV3Large": 32, "VGG16": 32, "ResNet50": 32,
    "ResNet50V2": 32, "EfficientNetB0": 32, "EfficientNetV2B0": 32, "DenseNet121": 32, "ConvNeXtTiny": 32,
    "InceptionV3": 75, "Xception": 71, "NASNetMobile": 224, "InceptionResNetV2": 75,
}  # fmt: skip
FAMILIES = {
    "lenet5": ((28, 28, 1), {"channels": (16, 32)}),
    "vgg": ((32, 32, 3), {"widths": (64, 128, 256, 512, 512), "depths": (2, 2, 3, 3, 3)}),
    "resnet": ((32, 32, 3), {"widths": (32, 64, 128, 256), "depths": (3, 4, 6, 3), "stem": 64}),
    "vit": ((32, 32, 3), {"patch": 4, "width": 192, "depth": 4, "heads": 6, "mlp": 384, "groups": 2}),
}
HEADER = (
    "| model | layers | plan, s | surgery, s | FLOPs left | parameters left | difference | control | .tflite |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
BEGIN, END = "<!-- zoo: begin -->", "<!-- zoo: end -->"


def builders() -> dict[str, Callable]:
    import keras

    from tfpwl.models import build_groups
    from tfpwl.pairs import compose

    def application(name: str, size: int):
        build = getattr(keras.applications, name)
        return build(weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None)

    def family(name: str):
        shape, params = FAMILIES[name]
        return compose(build_groups(name, shape, 10, name="teacher", **params), name)

    return {
        **{f"tfpwl {name}": lambda name=name: family(name) for name in FAMILIES},
        **{name: lambda name=name, size=size: application(name, size) for name, size in ZOO.items()},
    }


def check(name: str, build: Callable) -> str:
    import keras
    import numpy as np
    from masked_reference import example_inputs, masked_answer, randomize, relative_difference

    from tfpwl.prune import carve, plan_pruning

    keras.utils.set_random_seed(0)
    model = randomize(build())
    begin = time.perf_counter()
    plan = plan_pruning(model, 0.5, "random")
    planned = time.perf_counter()
    smaller = carve(model, plan)
    carved = time.perf_counter()
    x = example_inputs(model, 4)
    expected = masked_answer(model, plan.report.kept, x)
    difference = relative_difference(np.asarray(smaller(x, training=False)), expected)
    control = relative_difference(np.asarray(model(x, training=False)), expected)
    report = plan.report
    cells = [
        name, sum(1 for _ in model._flatten_layers(include_self=False, recursive=True)), f"{planned - begin:.2f}",
        f"{carved - planned:.2f}", f"{100 * report.flops_after / report.flops_before:.1f} %",
        f"{100 * report.params_after / report.params_before:.1f} %", f"{difference:.1e}", f"{control:.1g}",
        export(smaller, x),
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def export(smaller, x) -> str:
    """Whether the smaller model converts and runs: by tfpwl's export, or, where that refuses it, by TensorFlow's."""
    import numpy as np
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from masked_reference import relative_difference

    from tfpwl.errors import ExportError
    from tfpwl.export import export_model

    try:
        return f"runs, {len(export_model(smaller)) / 1e6:.1f} MB"
    except ExportError as exc:
        why = str(exc).partition("; expected")[0].partition(": ")[2] or str(exc).partition("; expected")[0]
    with contextlib.redirect_stdout(io.StringIO()):  # Keras lists every weight there
        data = tf.lite.TFLiteConverter.from_keras_model(smaller).convert()
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x[:1])
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    difference = relative_difference(got, np.asarray(smaller(x[:1], training=False)))
    if difference > 1e-3:
        return f"differs by {difference:.1e}; {why}"
    return f"runs, {len(data) / 1e6:.1f} MB, but not as a group: {why}"


@click.command()
@click.option("--only", multiple=True, help="Names of models.")
@click.option("--write", type=click.Path(path_type=Path), help="The Markdown file to put the table into.")
def main(only: tuple[str, ...], write: Path | None) -> None:
    rows = [HEADER]
    click.echo(HEADER)
    for name, build in builders().items():
        if not only or name in only:
            rows.append(check(name, build))
            click.echo(rows[-1])
    if write:
        before, _, rest = write.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        write.write_text(f"{before}{BEGIN}\n" + "\n".join(rows) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
