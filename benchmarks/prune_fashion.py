"""The Fashion-MNIST teacher with half of its FLOPs, by importance and at random, and with half of its weights zeroed.

    tfpwl build pipelines/fashion_resnet.yaml -o runs/fashion_resnet     # or only its first stage, from Python
    python benchmarks/prune_fashion.py runs/fashion_resnet/stages/train-* --work /tmp/prune_fashion

Every variant is fine-tuned for three epochs on the pipeline's data and augmentation, by plain distillation from the
unpruned teacher with the pipeline's `distill:` settings (cosine from the same learning rate). The masks of tfmot grow
along its PolynomialDecay during the first two epochs; its twin in tf_keras has folded batch normalizations and learns
by Adam from 0.001, since 0.004 is too much without them. Then all files answer in turn, one thread each. What is
finished is kept in --work, so a run that was stopped goes on.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import time
from pathlib import Path

import click

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PIPELINE = Path(__file__).parents[1] / "pipelines" / "fashion_resnet.yaml"
EPOCHS, RATIO, ANSWERS = 3, 0.5, 400


class Bench:
    """The teacher, its data, and the pipeline that it came from."""

    def __init__(self, teacher: Path, work: Path) -> None:
        from tfpwl.config import load_config
        from tfpwl.data import load_dataset
        from tfpwl.pairs import load_side

        self.config = load_config(PIPELINE)
        chosen = self.config.data
        self.data = load_dataset(chosen.name, validation=chosen.validation, seed=self.config.seed)
        self.teacher = load_side(teacher, "teacher")
        self.work = work
        work.mkdir(parents=True, exist_ok=True)

    def augmentation(self):
        from tfpwl.augment import AugmentationSeeds, make_augmentation

        chosen = self.config.data.augment
        augment = make_augmentation(
            self.data.input_shape, rotation=chosen.rotation, flip=chosen.flip, crop=chosen.crop, seed=7
        )
        return augment, [AugmentationSeeds(augment)]

    def batches(self):
        from tfpwl.training import Batches

        train = self.data.train
        return Batches(train.x, train.y, self.data.preprocess, self.config.distill.batch_size, seed=1)

    def accuracy(self, model) -> float:
        test = self.data.test
        logits = model.predict(self.data.preprocess(test.x), batch_size=500, verbose=0)
        return 100 * float((logits.argmax(-1) == test.y).mean())


def structured(bench: Bench, importance: str):
    """``(groups, accuracy before fine-tuning)``."""
    from tfpwl.distill import distill
    from tfpwl.models import reestimate_statistics
    from tfpwl.pairs import ModelPair, compose
    from tfpwl.prune import Target, make_schedule, prune_groups

    groups = prune_groups(
        bench.teacher,
        make_schedule(bench.teacher, Target("flops", RATIO), importance=importance),
        importance=importance,
    )
    reestimate_statistics(groups, bench.data.preprocess(bench.data.train.x[:1024]))
    before = bench.accuracy(compose(groups, "pruned"))
    nothing = (None,) * (len(groups) - 1)
    augment, seedables = bench.augmentation()
    distill(
        ModelPair(groups, bench.teacher, nothing, nothing), bench.batches(),
        bench.config.distill.model_copy(update={"method": "kd", "epochs": EPOCHS}),
        augment=augment, seedables=seedables, checkpoint=bench.work / f"{importance}.checkpoint",
    )  # fmt: skip
    return compose(groups, importance), before


def unstructured(bench: Bench):
    """tfmot's masks over the same share of weights, in a tf_keras twin; the weights come back into the Keras model."""
    import keras

    from tfpwl.fused import fold_batchnorm
    from tfpwl.models.calls import flatten_model
    from tfpwl.models.regroup import rebuild
    from tfpwl.pairs import compose
    from tfpwl.quantize.twin import build_twin, legacy_keras

    flat = flatten_model(compose(bench.teacher, "teacher"))
    folded = fold_batchnorm(rebuild(flat, 0, len(flat.calls), "tfmot"))
    twin = build_twin(folded)
    augment, (seeds,) = bench.augmentation()
    batches = bench.batches()
    config = bench.config.distill
    steps = len(batches)
    with legacy_keras() as tf_keras:
        import tensorflow as tf
        import tensorflow_model_optimization as tfmot

        class WithLogits(tf_keras.utils.Sequence):
            """Augmented images, and labels beside the teacher's logits."""

            epoch = 0

            def __len__(self) -> int:
                return steps

            def __getitem__(self, index):
                x, y = batches[index]
                x = augment(x, training=True)
                logits = folded_teacher(x, training=False)
                return tf.convert_to_tensor(x), tf.concat([tf.one_hot(y, logits.shape[-1]), logits], axis=-1)

            def on_epoch_end(self) -> None:
                self.epoch += 1
                batches.set_epoch(self.epoch)
                seeds.set_epoch(self.epoch)

        folded_teacher = keras.models.clone_model(folded)
        folded_teacher.set_weights(folded.get_weights())

        def loss(target, z):
            labels, logits = tf.split(target, 2, axis=-1)
            hard = tf.nn.softmax_cross_entropy_with_logits(labels, z)
            p = tf.nn.softmax(logits / config.temperature)
            q, log_p = tf.nn.log_softmax(z / config.temperature), tf.nn.log_softmax(logits / config.temperature)
            soft = config.temperature**2 * tf.reduce_sum(p * (log_p - q), axis=-1)
            return config.alpha * hard + (1 - config.alpha) * soft

        sparsity = tfmot.sparsity.keras.PolynomialDecay(0.0, RATIO, 0, 2 * steps, frequency=20)
        masked = tfmot.sparsity.keras.prune_low_magnitude(twin, pruning_schedule=sparsity)
        rate = tf_keras.optimizers.schedules.CosineDecay(1e-3, EPOCHS * steps)
        masked.compile(optimizer=tf_keras.optimizers.Adam(rate), loss=loss)
        callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
        masked.fit(WithLogits(), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)
        stripped = tfmot.sparsity.keras.strip_pruning(masked)
        for layer in stripped.layers:
            if layer.weights:
                folded.get_layer(layer.name).set_weights(layer.get_weights())
    return folded, float("nan")


def zeros(model) -> float:
    """Share of the kernels' numbers that are 0."""
    kernels = [weight for weight in model.get_weights() if weight.ndim > 1]
    return 1 - sum(int((kernel != 0).sum()) for kernel in kernels) / sum(kernel.size for kernel in kernels)


def in_turn(files: dict[str, bytes]) -> dict[str, float]:
    """Median milliseconds of one answer; the files answer one after another in every round."""
    import numpy as np

    from tfpwl.runtime import InterpreterEngine

    loaded = {name: InterpreterEngine().load(data, threads=1) for name, data in files.items()}
    x = np.random.default_rng(0).random(next(iter(loaded.values())).input.shape, np.float32)
    taken = {name: [] for name in files}
    for number in range(ANSWERS + 10):
        for name, group in loaded.items():
            group(x)  # the first answer finds the weights of another file in the caches
            begin = time.perf_counter()
            group(x)
            if number >= 10:
                taken[name].append(1000 * (time.perf_counter() - begin))
    return {name: statistics.median(times) for name, times in taken.items()}


def make(bench: Bench, name: str) -> None:
    from tfpwl.export import export_model
    from tfpwl.pairs import compose

    target = bench.work / f"{name}.json"
    if target.exists():
        return
    begin = time.perf_counter()
    if name == "teacher":
        model, before = compose(bench.teacher, "teacher"), float("nan")
    else:
        model, before = unstructured(bench) if name == "tfmot" else structured(bench, name)
    (bench.work / f"{name}.tflite").write_bytes(export_model(model))
    figures = {"accuracy": bench.accuracy(model), "before": before, "zeros": zeros(model)}
    target.write_text(json.dumps({**figures, "seconds": time.perf_counter() - begin}))
    click.echo(f"{name}: {target.read_text()}", err=True)


@click.command()
@click.argument("teacher", type=click.Path(path_type=Path, exists=True))
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder for what is finished.")
def main(teacher: Path, work: Path) -> None:
    bench = Bench(teacher, work)
    labels = {
        "teacher": "unpruned", "l2": "half of the FLOPs, l2", "random": "half of the FLOPs, at random",
        "tfmot": "half of the weights zeroed (tfmot)",
    }  # fmt: skip
    for name in labels:
        make(bench, name)
    files = {name: (work / f"{name}.tflite").read_bytes() for name in labels}
    taken = in_turn(files)
    whole = json.loads((work / "teacher.json").read_text())["accuracy"]
    click.echo("| teacher | accuracy | lost | before fine-tuning | .tflite bytes | gzip | ms, one thread |")
    click.echo("|---|---|---|---|---|---|---|")
    for name, label in labels.items():
        figures = json.loads((work / f"{name}.json").read_text())
        before = "–" if figures["before"] != figures["before"] else f"{figures['before']:.1f}"
        click.echo(
            f"| {label} | {figures['accuracy']:.2f} | {whole - figures['accuracy']:+.2f} | {before} | "
            f"{len(files[name]):,} | {len(gzip.compress(files[name])):,} | {taken[name]:.3f} |"
        )


if __name__ == "__main__":
    main()
