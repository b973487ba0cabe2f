"""Time of pruning against the number of layers, and of MobileNetV2: graph, importance and plan, surgery.

    python benchmarks/prune_speed.py [--rounds 3]

The models are ResNets of basic blocks (width 32 to 64, 16x16 images) of about 50, 100, 200 and 400 layers. Medians over
the rounds, in seconds, after one round to warm up.
"""

from __future__ import annotations

import os
import statistics
import time

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NUM_LAYERS = (50, 100, 200, 400)
_LAYERS_PER_BLOCK = 7


def resnet(num_layers: int):
    import keras
    from keras import layers

    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(32, 3, padding="same")(inputs)
    blocks = (num_layers - 4) // _LAYERS_PER_BLOCK
    for block in range(blocks):
        width = 32 if block < blocks // 2 else 64
        y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same", use_bias=False)(x)))
        y = layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same", use_bias=False)(y))
        x = layers.Conv2D(width, 1)(x) if x.shape[-1] != width else x
        x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def seconds(model, rounds: int) -> list[float]:
    from tfpwl.prune import build_graph, carve, plan_pruning

    taken = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        build_graph(model)
        graphed = time.perf_counter()
        plan = plan_pruning(model, 0.5)  # it makes the graph again
        planned = time.perf_counter()
        carve(model, plan)
        taken.append((graphed - begin, planned - graphed, time.perf_counter() - planned))
    return [statistics.median(column) for column in zip(*taken[1:], strict=True)]


@click.command()
@click.option("--rounds", default=3, show_default=True)
def main(rounds: int) -> None:
    import keras

    click.echo("| model | layers | graph, s | plan (graph in it), s | surgery, s | plan + surgery, per layer, ms |")
    click.echo("|---|---|---|---|---|---|")
    models = {f"ResNet of {n}": resnet(n) for n in NUM_LAYERS}
    models["MobileNetV2, 224×224"] = keras.applications.MobileNetV2(weights=None)
    for name, model in models.items():
        graph, plan, surgery = seconds(model, rounds)
        count = len(model.layers)
        per_layer = 1000 * (plan + surgery) / count
        click.echo(f"| {name} | {count} | {graph:.3f} | {plan:.3f} | {surgery:.3f} | {per_layer:.2f} |")


if __name__ == "__main__":
    main()
