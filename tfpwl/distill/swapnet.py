"""The network that Progressive Weight Loading trains: student, frozen teacher and a mix of both in one step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import keras
from keras import ops

from tfpwl.distill import losses
from tfpwl.distill.mixing import REUSE_STUDENT, RUN_STUDENT
from tfpwl.mix import STUDENT, TEACHER
from tfpwl.pairs import ModelPair

Tensor = losses.Tensor


class LossWeights(NamedTuple):
    """Weights of the PWL losses (``L_hard`` has ``alpha``, ``L_soft`` has ``1 - alpha``)."""

    temperature: float = 2.0
    alpha: float = 0.4
    sync: float = 1.0
    recon: float = 1.0
    cross: float = 2.0
    label_smoothing: float = 0.0


class _Pass(NamedTuple):
    """What one forward pass of a training step leaves for the losses."""

    student: list[Tensor]
    teacher: list[Tensor]
    encoded: list[Tensor]
    decoded: list[Tensor]
    cross: list[Tensor]


class SwapNet(keras.Model):
    """Student, frozen teacher and converters as one trainable model.

    ``call`` answers with the student. In training it takes ``(images, plan)``, the plan of a mix from
    :func:`tfpwl.distill.mixing.plan_mix`, and also runs the frozen teacher (inference mode) and that mix. No
    forward pass is made twice: a mix starts from the feature at its first switch, which the student's or the
    teacher's own pass has already computed, and its first converter from the sync loss. The plan is data, so one
    compiled step serves every mix.

    Args:
        pair: the pair to train. Its student and converters are trained in place; its teacher is frozen.
        weights: weights of the losses.
        cross: ``"random"``: the mix of the plan; ``"all"``: every teacher feature through its encoder and the
            student's tail, with CE and KL on each (the plan is not looked at).
        augment: model applied to the images before both networks; only in training.

    Example:
        >>> net = SwapNet(pair)                                               # doctest: +SKIP
        >>> net.compile(optimizer=keras.optimizers.SGD(0.05, momentum=0.9))   # doctest: +SKIP
        >>> net.fit(MixedBatches(batches, MixSampler(pair.num_groups)))       # doctest: +SKIP
    """

    def __init__(
        self,
        pair: ModelPair,
        *,
        weights: LossWeights | None = None,
        cross: Literal["random", "all"] = "random",
        augment: keras.Model | None = None,
    ) -> None:
        super().__init__(name="swapnet")
        self.student_groups = list(pair.student)
        self.teacher_groups = list(pair.teacher)
        self.converters = [model for model in (*pair.encoders, *pair.decoders) if model is not None]
        self.augment = augment
        self._pair = pair
        self._weights = weights or LossWeights()
        self._cross = cross
        for group in self.teacher_groups:
            group.trainable = False
        names = ("loss", "accuracy", "hard", "soft", "sync", "recon", "cross")
        self._trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        images, plan = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        if not training:
            return self._run(self.student_groups, images, training=False)[-1]
        x = self.augment(images, training=True) if self.augment is not None else images
        teacher = self._run(self.teacher_groups, x, training=False)
        student = self._run(self.student_groups, x, training=True)
        encoded = [self._convert(i, STUDENT, t) for i, t in enumerate(teacher[:-1])]
        decoded = [self._convert(i, TEACHER, s) for i, s in enumerate(student[:-1])]
        if not (self._weights.cross and encoded):
            cross = []
        elif self._cross == "all":
            cross = [self._run(self.student_groups[i + 1 :], e, training=True)[-1] for i, e in enumerate(encoded)]
        else:
            cross = [self._run_mix(plan, student, teacher, encoded, decoded)]
        return _Pass(student, teacher, encoded, decoded, cross)

    @staticmethod
    def _run(groups: Sequence[keras.Model], x: Tensor, *, training: bool) -> list[Tensor]:
        outputs = []
        for group in groups:
            x = group(x, training=training)
            outputs.append(x)
        return outputs

    def _convert(self, boundary: int, into: str, feature: Tensor) -> Tensor:
        converter = self._pair.converter(boundary, into)
        return feature if converter is None else converter(feature)

    def _run_mix(
        self, plan: Tensor, student: list[Tensor], teacher: list[Tensor], encoded: list[Tensor], decoded: list[Tensor]
    ) -> Tensor:
        """The logits of the planned mix.

        The feature travels in both widths, (student's, teacher's): whichever side runs next finds its input, and
        every branch returns the same shapes.
        """
        own = list(zip(student, decoded, strict=False))  # but for the logits, which have no converter
        theirs = list(zip(encoded, teacher, strict=False))
        feature = ops.cond(ops.equal(plan[0], REUSE_STUDENT), lambda: own[0], lambda: theirs[0])
        last = len(self.student_groups) - 1
        for i in range(1, last + 1):
            index, branches = plan[i], [partial(self._run_student, i), partial(self._run_teacher, i)]
            if i == last:  # a mix has switched by now, so nothing can be reused
                index -= RUN_STUDENT
            else:
                branches = [partial(self._reuse, i, own[i]), partial(self._reuse, i, theirs[i]), *branches]
            feature, statistics = ops.switch(index, branches, *feature)
            for variable, value in zip(self.student_groups[i].non_trainable_variables, statistics, strict=True):
                variable.assign(value)
        return feature[0]

    def _reuse(self, group: int, known: tuple[Tensor, Tensor], *_: Tensor) -> Any:
        return known, self._statistics(group)

    def _run_teacher(self, group: int, _: Tensor, x: Tensor) -> Any:
        h = self.teacher_groups[group](x, training=False)
        return self._both_widths(group, STUDENT, h), self._statistics(group)

    def _run_student(self, group: int, x: Tensor, _: Tensor) -> Any:
        model = self.student_groups[group]
        # Batch statistics must leave the branch as values: a variable assigned inside a branch is lost in JAX.
        with keras.StatelessScope([(v, ops.convert_to_tensor(v)) for v in model.variables]) as scope:
            h = model(x, training=True)
            statistics = [ops.convert_to_tensor(scope.get_current_value(v)) for v in model.non_trainable_variables]
        return self._both_widths(group, TEACHER, h), statistics

    def _both_widths(self, group: int, into: str, h: Tensor) -> tuple[Tensor, Tensor]:
        if group == len(self.student_groups) - 1:
            return h, h
        converted = self._convert(group, into, h)
        return (converted, h) if into == STUDENT else (h, converted)

    def _statistics(self, group: int) -> list[Tensor]:
        return [ops.convert_to_tensor(v) for v in self.student_groups[group].non_trainable_variables]

    def compute_loss(
        self, x: Tensor = None, y: Tensor = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        w = self._weights
        if not isinstance(y_pred, _Pass):
            return self._track(loss=losses.hard_loss(y_pred, y))
        *s, z_s = y_pred.student
        *t, z_t = y_pred.teacher
        hard = losses.hard_loss(z_s, y, label_smoothing=w.label_smoothing)
        soft = losses.soft_loss(z_t, z_s, temperature=w.temperature)
        parts = {"hard": hard, "soft": soft}
        total = w.alpha * hard + (1.0 - w.alpha) * soft
        if s and w.sync:
            parts["sync"] = losses.sync_loss(s, t, y_pred.encoded, y_pred.decoded)
            total += w.sync * parts["sync"]
        if self.converters and w.recon:
            s_again = [self._convert(i, STUDENT, d) for i, d in enumerate(y_pred.decoded)]
            t_again = [self._convert(i, TEACHER, e) for i, e in enumerate(y_pred.encoded)]
            parts["recon"] = losses.recon_loss(s, t, s_again, t_again)
            total += w.recon * parts["recon"]
        if y_pred.cross:
            parts["cross"] = self._cross_loss(y, z_t, y_pred.cross)
            total += w.cross * parts["cross"]
        return self._track(loss=total, **parts)

    def _cross_loss(self, y: Tensor, z_t: Tensor, logits: list[Tensor]) -> Tensor:
        terms = [losses.soft_loss(z_t, z_m, temperature=self._weights.temperature) for z_m in logits]
        if self._cross == "all":
            terms += [losses.hard_loss(z_m, y) for z_m in logits]
        return sum(terms) / len(logits)

    def _track(self, **values: Tensor) -> Tensor:
        for name, value in values.items():
            self._trackers[name].update_state(value)
        return values["loss"]

    def compute_metrics(self, x: Tensor, y: Tensor, y_pred: Any, sample_weight: Any = None) -> dict[str, Tensor]:
        logits = y_pred.student[-1] if isinstance(y_pred, _Pass) else y_pred
        hits = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), ops.cast(y, "int32"))
        self._trackers["accuracy"].update_state(ops.cast(hits, "float32"))
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._trackers.values())
