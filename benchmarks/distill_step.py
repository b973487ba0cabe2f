"""Images per second of one PWL training step: tfpwl against a straightforward TensorFlow step, in turn.

    python benchmarks/distill_step.py [--rounds 3] [--batch 128] [--mixes 8]

The straightforward step computes the losses as docs/distillation.md writes them, one forward pass after another:
teacher, student, and the whole mix from the input on, with Keras' own layers, compiled by tf.function once per mix.
Both sides train the `resnet-cifar` pair on the same random images with the same mixes; medians over the steps are
printed as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def straightforward_step(pair, optimizer) -> Callable:
    """A train step as one would write it from the paper, as ``step(mix, x, y)``."""
    import tensorflow as tf

    from tfpwl.distill import losses
    from tfpwl.mix import Mix

    converters = [c for c in (*pair.encoders, *pair.decoders) if c is not None]
    variables = [v.value for m in (*pair.student, *converters) for v in m.trainable_variables]

    def features(groups, x, training):
        outputs = []
        for group in groups:
            x = group(x, training=training)
            outputs.append(x)
        return outputs

    def convert(boundary, into, feature):
        converter = pair.converter(boundary, into)
        return feature if converter is None else converter(feature)

    def run_mix(mix, x):
        for i, side in enumerate(mix):
            if i and mix[i - 1] != side:
                x = convert(i - 1, side, x)
            x = pair.group(i, side)(x, training=side == "S")
        return x

    def step(mix, x, y):
        with tf.GradientTape() as tape:
            *t, z_t = features(pair.teacher, x, training=False)
            *s, z_s = features(pair.student, x, training=True)
            n = range(len(s))
            encoded = [convert(i, "S", t[i]) for i in n]
            decoded = [convert(i, "T", s[i]) for i in n]
            loss = 0.4 * losses.hard_loss(z_s, y) + 0.6 * losses.soft_loss(z_t, z_s, temperature=2.0)
            loss += losses.sync_loss(s, t, encoded, decoded)
            if converters:
                loss += losses.recon_loss(
                    s, t, [convert(i, "S", decoded[i]) for i in n], [convert(i, "T", encoded[i]) for i in n]
                )
            loss += 2.0 * losses.soft_loss(z_t, run_mix(Mix(mix), x), temperature=2.0)
        optimizer.apply(tape.gradient(loss, variables))
        return loss

    return tf.function(step, jit_compile=False)


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True, help="times every mix is run on each side")
@click.option("--batch", default=128, show_default=True)
@click.option("--mixes", "num_mixes", default=8, show_default=True, help="mixes drawn as in training")
@click.option("--width", default=1.0, show_default=True, help="factor on all widths of the pair")
def main(rounds: int, batch: int, num_mixes: int, width: float) -> None:
    import numpy as np

    from tfpwl.config import DistillConfig
    from tfpwl.distill import MixSampler, SwapNet, accelerate, plan_mix
    from tfpwl.models import build_groups
    from tfpwl.pairs import make_pair
    from tfpwl.training import make_optimizer

    widths = [int(w * width) for w in (32, 64, 128, 256)]

    def make():
        params = {"widths": widths, "stem": int(64 * width)}
        teacher = build_groups("resnet", (32, 32, 3), 10, name="teacher", seed=1, depths=[3, 4, 6, 3], **params)
        student = build_groups("resnet", (32, 32, 3), 10, name="student", seed=2, depths=[1, 1, 1, 1], **params)
        for group in teacher:
            group.trainable = False
        return make_pair(student, teacher)

    sampler = MixSampler(4, seed=0)
    mixes = [sampler.draw(0, step) for step in range(num_mixes)]
    config = DistillConfig(learning_rate=1e-3)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, batch).astype("int32")

    plain_pair = make()
    converters = [c for c in (*plain_pair.encoders, *plain_pair.decoders) if c is not None]
    optimizer = make_optimizer(config, 1000)
    optimizer.build([v for m in (*plain_pair.student, *converters) for v in m.trainable_variables])
    plain = straightforward_step(plain_pair, optimizer)

    net = SwapNet(accelerate(make()))
    net.compile(optimizer=make_optimizer(config, 1000), jit_compile=False)

    times: dict[str, list[float]] = {"straightforward": [], "tfpwl": []}
    for round_ in range(rounds + 1):  # the first round traces
        for mix in mixes:
            for name, run in (
                ("straightforward", lambda mix=mix: plain(mix, x, y).numpy()),
                ("tfpwl", lambda mix=mix: net.train_on_batch((x, plan_mix(mix)), y)),
            ):
                start = time.perf_counter()
                run()
                if round_:
                    times[name].append(time.perf_counter() - start)
    speed = {name: round(batch * len(t) / sum(t), 1) for name, t in times.items()}
    median = {name: round(1000 * statistics.median(t), 1) for name, t in times.items()}
    click.echo(json.dumps({
        "images_per_second": speed, "median_step_ms": median, "mixes": mixes, "batch": batch, "rounds": rounds,
        "ratio": round(speed["tfpwl"] / speed["straightforward"], 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
