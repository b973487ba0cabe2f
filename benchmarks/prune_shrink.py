"""Bytes and single-thread latency of .tflite files, whole and pruned to half the FLOPs, measured in turn.

    python benchmarks/prune_shrink.py [--answers 60] [--ratio 0.5] [--ranking layer]

Per model: the two files answer alternately, so that both see the same state of the machine; medians in milliseconds.
Weights are random: accuracy is no matter here.
"""

from __future__ import annotations

import os
import statistics
import time

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def models():
    import keras

    from tfpwl.models import PRESETS, build_groups
    from tfpwl.pairs import compose

    for name in ("vgg-cifar", "resnet-cifar"):
        preset = PRESETS[name]
        groups = build_groups(preset.family, preset.input_shape, 10, name="teacher", **preset.teacher)
        yield name, compose(groups, "teacher")
    for width, side in ((0.35, 32), (1.0, 96), (1.0, 224)):
        options = {"weights": None, "classes": 10, "classifier_activation": None}
        yield f"MobileNetV2 {width}, {side}×{side}", keras.applications.MobileNetV2((side, side, 3), width, **options)


def interpreter_of(data: bytes):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    interpreter.set_tensor(details["index"], np.random.default_rng(0).random(details["shape"], np.float32))
    interpreter.invoke()
    return interpreter


@click.command()
@click.option("--answers", default=60, show_default=True)
@click.option("--ratio", default=0.5, show_default=True)
@click.option("--ranking", default="layer", show_default=True)
def main(answers: int, ratio: float, ranking: str) -> None:
    from tfpwl.export import export_model
    from tfpwl.prune import carve, plan_pruning

    click.echo("| model | FLOPs | bytes, whole | pruned | ratio | ms, whole | pruned | ratio |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for name, model in models():
        plan = plan_pruning(model, ratio, ranking=ranking)
        files = [export_model(model), export_model(carve(model, plan))]
        interpreters = [interpreter_of(data) for data in files]
        taken: list[list[float]] = [[], []]
        for _ in range(answers):
            for interpreter, times in zip(interpreters, taken, strict=True):
                begin = time.perf_counter()
                interpreter.invoke()
                times.append(1000 * (time.perf_counter() - begin))
        whole, pruned = (statistics.median(times) for times in taken)
        sizes = [len(data) for data in files]
        flops = plan.report.flops_after / plan.report.flops_before
        click.echo(
            f"| {name} | × {flops:.3f} | {sizes[0]:,} | {sizes[1]:,} | × {sizes[1] / sizes[0]:.3f} | {whole:.3f} | "
            f"{pruned:.3f} | × {pruned / whole:.3f} |"
        )


if __name__ == "__main__":
    main()
