"""The stage ``prune``: channels go from a distilled pair in steps, and after each step it is distilled again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from tfpwl.config import PipelineConfig, PruneConfig
from tfpwl.data import Dataset
from tfpwl.distill import distill
from tfpwl.errors import TrainingError
from tfpwl.pairs import ModelPair, compose, load_pair, save_pair
from tfpwl.pipeline.fitting import PRUNE_SEED, OnProgress, accuracy, augmentation, batches, finish
from tfpwl.pipeline.store import CHECKPOINT
from tfpwl.prune import Calibration, Options, Schedule, Target, make_schedule, prune_pair, report_sizes
from tfpwl.training import History, cross_entropy

_CALIBRATION_IMAGES = 256  # for Taylor importance
_STATE = "steps.json"


def prune(
    config: PipelineConfig, section: PruneConfig, data: Dataset, pair: Path, *, work: Path, on_progress: OnProgress
) -> dict[str, Any]:
    """Prune the pair by ``prune:``; leaves the smaller pair and ``metrics.json``.

    After every step the pruned teacher (where it is pruned) learns from the whole one and the labels, then student and
    converters learn from it by the losses of ``distill:``, each for ``epochs_per_step``. A run that was killed goes on
    after its last whole epoch.

    Args:
        config: the pipeline.
        section: its ``prune:``.
        data: its data set.
        pair: artifact of the stage ``distill``.
        work: folder to write into.
        on_progress: called with steps of training done, in all, metrics.

    Returns:
        The student's metrics, ``teacher`` with the teacher's, and ``steps``: sizes and accuracy before and after each
        step.

    Raises:
        ModelError: the target cannot be reached.
        TrainingError: the loss is not finite.
    """
    keras.utils.set_random_seed(config.seed + PRUNE_SEED)
    whole = load_pair(pair)
    course = _Course(config, section, data, whole, work / CHECKPOINT, on_progress)
    pruned = course.run()
    save_pair(pruned, work)
    metrics = finish(work, History((), course.speed), compose(pruned.student, "student"), data)
    teacher = compose(pruned.teacher, "teacher")
    return {
        **metrics,
        "teacher": {"parameters": teacher.count_params(), "test_accuracy": accuracy(teacher, data.test, data)},
        "steps": course.steps,
    }


def prune_untrained(config: PipelineConfig, section: PruneConfig, data: Dataset, pair: ModelPair) -> ModelPair:
    """The pair as small as ``prune:`` makes it, in one step with nothing learned: what a trained one will take.

    Raises:
        ModelError: the target cannot be reached.
    """
    once = section.model_copy(update={"steps": 1})
    course = _Course(config, once, data, pair, Path(), lambda *_: None)
    return prune_pair(pair, course.schedules(), export=course.export(), **course.options())


@dataclass
class _Course:
    """One run of the schedule; ``steps`` is what the report shows."""

    config: PipelineConfig
    section: PruneConfig
    data: Dataset
    whole: ModelPair
    checkpoint: Path
    on_progress: OnProgress
    steps: list[dict[str, Any]] = field(default_factory=list)
    speed: float | None = None

    def run(self) -> ModelPair:
        """The pruned pair, from the last step that was saved on."""
        subject, done, schedules = self._restore()
        if not schedules:
            schedules = self.schedules()
            self._record(self.whole, 0, schedules)
        return prune_pair(
            subject, schedules, tune=lambda pair, step: self._tune(pair, step, schedules), done=done,
            export=self.export(), **self.options(),
        )  # fmt: skip

    def schedules(self) -> dict[str, Schedule]:
        """What may be left of each side after each step."""
        target, steps, export = Target(*self.section.target.chosen), self.section.steps, self.export()
        return {
            side: make_schedule(getattr(self.whole, side), target, steps=steps, export=export, **self.options())
            for side in self.section.sides
        }

    def export(self) -> Callable[[keras.Model], bytes] | None:
        """What makes files, where the target is measured on them."""
        if self.section.target.chosen[0] in ("flops", "params"):
            return None
        from tfpwl.export import export_model  # noqa: PLC0415 - imports TensorFlow

        return export_model

    def options(self) -> Options:
        """How channels are chosen."""
        section, data = self.section, self.data
        calibration = None
        if section.importance == "taylor":
            chosen = slice(_CALIBRATION_IMAGES)
            calibration = Calibration(data.preprocess(data.train.x[chosen]), data.train.y[chosen], cross_entropy())
        return {
            "importance": section.importance, "round_to": section.round_to, "calibration": calibration,
            "seed": self.config.seed + PRUNE_SEED,
        }  # fmt: skip

    def _tune(self, pair: ModelPair, step: int, schedules: Mapping[str, Schedule]) -> None:
        if "teacher" in schedules:
            nothing = (None,) * (pair.num_groups - 1)
            # The pruned teacher in the student's place: plain distillation looks at no boundary.
            self._distil(ModelPair(pair.teacher, self.whole.teacher, nothing, nothing), "kd", step, 0)
        self._distil(pair, self.config.distill.method, step, 1)
        self._record(pair, step + 1, schedules)

    def _distil(self, pair: ModelPair, method: str, step: int, part: int) -> None:
        """Fit ``pair`` for the epochs of one step; ``part`` 0 is the teacher's own fit, 1 the pair's."""
        changes = {"method": method, "epochs": self.section.epochs_per_step}
        if self.section.learning_rate is not None:
            changes["learning_rate"] = self.section.learning_rate
        seed = self.config.seed + PRUNE_SEED + 2 * step + part
        parts = 2 if "teacher" in self.section.sides else 1
        before = parts * step + part - (2 - parts)
        augment, seedables = augmentation(self.config, self.data)
        history = distill(
            pair,
            batches(self.data, self.config.distill.batch_size, seed),
            self.config.distill.model_copy(update=changes),
            augment=augment,
            seedables=seedables,
            seed=seed,
            checkpoint=self.checkpoint / f"fit-{before}",
            on_progress=lambda done, total, metrics: self.on_progress(
                before * total + done, parts * self.section.steps * total, metrics
            ),
        )
        self.speed = history.images_per_second or self.speed

    def _record(self, pair: ModelPair, done: int, schedules: Mapping[str, Schedule]) -> None:
        """Measure the pair after ``done`` steps and save it, in one rename, with what is known so far."""
        for side in schedules:
            self.steps.append(self._measured(side, getattr(pair, side), done))
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        unfinished = self.checkpoint / "writing"
        shutil.rmtree(unfinished, ignore_errors=True)
        save_pair(pair, unfinished)
        state = {"steps": self.steps, "schedules": {side: asdict(made) for side, made in schedules.items()}}
        (unfinished / _STATE).write_text(json.dumps(state), encoding="utf-8")
        unfinished.rename(self.checkpoint / f"step-{done:03d}")
        for older in sorted(self.checkpoint.glob("step-*"))[:-1]:
            shutil.rmtree(older)

    def _measured(self, side: str, groups: Sequence[keras.Model], done: int) -> dict[str, Any]:
        size, model = report_sizes(groups), compose(groups, side)
        return {
            "side": side, "step": done, "flops": size.flops, "params": size.params,
            "val_accuracy": accuracy(model, self.data.val, self.data),
            "test_accuracy": accuracy(model, self.data.test, self.data),
        }  # fmt: skip

    def _restore(self) -> tuple[ModelPair, int, dict[str, Schedule]]:
        saved = sorted(self.checkpoint.glob("step-*"))
        if not saved:
            return self.whole, 0, {}
        try:
            state = json.loads((saved[-1] / _STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise TrainingError(f"The checkpoint {saved[-1]} cannot be read: {exc}. Remove it to start over.") from exc
        self.steps = state["steps"]
        schedules = {side: Schedule(**fields) for side, fields in state["schedules"].items()}
        return load_pair(saved[-1]), int(saved[-1].name.removeprefix("step-")), schedules
