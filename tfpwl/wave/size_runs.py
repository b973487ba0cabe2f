"""The trainings of one size in a study: the rate of every start, the curves, and how long a random start needs."""

from __future__ import annotations

import time
from pathlib import Path

import keras
import numpy as np

from tfpwl.data import Dataset
from tfpwl.models import build_side
from tfpwl.pairs import load_side
from tfpwl.wave.auxiliary import count_scalers
from tfpwl.wave.configured import family_of
from tfpwl.wave.course import Course, Weights, weights_of
from tfpwl.wave.initialise import SCALER_FIT, initialise
from tfpwl.wave.records import Json, read_record, write_record
from tfpwl.wave.rivals import start_by_pruning, start_by_selection, start_random
from tfpwl.wave.study_config import FamilyStudy, StudyConfig
from tfpwl.wave.templates import load_templates

_RUN_SEED, _RATE_SEED = 100, 1000  # offsets to the study's seed: of the curves, and of runs that choose a rate


class SizeRuns:
    """The runs of one size. What is finished lies in a file and is not run again.

    Args:
        config: the study.
        family: the size's.
        data: of the study.
        folder: of the family, with ``teacher`` and ``templates.npz``.
        number: of the size in its family.
    """

    def __init__(self, config: StudyConfig, family: FamilyStudy, data: Dataset, folder: Path, number: int) -> None:
        self._config, self._family, self._data = config, family, data
        self._folder, self._number = folder, number
        self._results = folder / f"size{number}"
        self._results.mkdir(exist_ok=True)
        self._made: Course | None = None

    @property
    def _course(self) -> Course:
        """Made when a run is not there yet."""
        if self._made is None:
            self._made = Course(
                self._fresh(0), self._data, self._family.train, self._config.subset, self._config.test_limit
            )
        return self._made

    def choose_rates(self, start: str) -> None:
        """The learning rate with which ``start`` is best after each length, on validation images.

        One run each, of a seed that no curve has; test images have no part in it.
        """
        path = self._rates_path(start)
        if path.exists():
            return
        weights, _ = self._start(start, _RATE_SEED)
        chosen = {}
        for epochs in self._config.epochs:
            tried = {
                str(rate): self._course.train(weights, epochs, self._seed(_RATE_SEED), rate, "validation")
                for rate in self._family.learning_rates
            }
            chosen[str(epochs)] = {"rate": float(max(tried, key=lambda rate: tried[rate])), "tried": tried}
        path.parent.mkdir(exist_ok=True)
        write_record(path, chosen)

    def curves(self) -> None:
        """Accuracy of all starts and seeds."""
        for seed in range(self._config.seeds):
            for start in self._config.starts:
                self._curve(start, seed)

    def _curve(self, start: str, seed: int) -> Json:
        """Accuracy after 0 and each of ``epochs``."""
        path = self._results / f"{start}-{seed}.json"
        if path.exists():
            return read_record(path)
        begun = time.process_time()
        weights, scalers = self._start(start, seed)
        start_seconds = time.process_time() - begun
        accuracy = {"0": self._train(start, weights, 0, seed)}
        begun = time.process_time()
        for epochs in self._config.epochs:
            accuracy[str(epochs)] = self._train(start, weights, epochs, seed)
        result = {
            "accuracy": accuracy, "start_seconds": round(start_seconds, 2), "scalers": scalers,
            "epoch_seconds": round((time.process_time() - begun) / sum(self._config.epochs), 3),
            "parameters": self._course.num_parameters,
        }  # fmt: skip
        write_record(path, result)
        return result

    def long_random(self) -> None:
        """Longer and longer training from a random start of the first seed, until it reaches WAVE's mean."""
        path = self._results / "long.json"
        if path.exists():
            return
        last = str(self._config.epochs[-1])
        target = float(np.mean([self._curve("wave", seed)["accuracy"][last] for seed in range(self._config.seeds)]))
        accuracy = dict(self._curve("random", 0)["accuracy"])
        weights, _ = self._start("random", 0)
        for epochs in self._config.long_epochs:
            if max(accuracy.values()) >= target:
                break
            accuracy[str(epochs)] = self._train("random", weights, epochs, 0)
        reached = next((int(epochs) for epochs, value in accuracy.items() if value >= target), None)
        write_record(path, {"target": target, "accuracy": accuracy, "reached_after": reached})

    def _train(self, start: str, weights: Weights, epochs: int, seed: int) -> float:
        return self._course.train(weights, epochs, self._seed(seed), self._rate(start, epochs), self._config.split)

    def _rate(self, start: str, epochs: int) -> float:
        """The chosen one; lengths beyond those that were tried take that of the longest."""
        if not self._family.learning_rates:
            return self._family.train.learning_rate
        length = min(max(epochs, self._config.epochs[0]), self._config.epochs[-1])
        return float(read_record(self._rates_path(start))[str(length)]["rate"])

    def _rates_path(self, start: str) -> Path:
        return self._folder / "rates" / f"{start}.json"

    def _start(self, start: str, number: int) -> tuple[Weights, dict[str, int] | None]:
        """Weights of a start of the seed of this number, and how many scalers it has."""
        student, scalers, seed = self._fresh(number), None, self._seed(number)
        if start == "random":
            start_random(student, seed=seed)
        elif start == "wave":
            templates = load_templates(self._folder / "templates.npz", family=family_of(self._family.teacher))
            scalers = count_scalers(student, templates.templates)
            initialise(
                student, templates, self._course.batches(seed), steps=self._config.scaler_steps,
                config=SCALER_FIT.model_copy(update={"learning_rate": self._config.scaler_learning_rate}), seed=seed,
            )  # fmt: skip
        else:
            teacher = load_side(self._folder / "teacher", "teacher")
            (start_by_selection if start == "select" else start_by_pruning)(student, teacher)
        return weights_of(student), scalers

    def _fresh(self, number: int) -> tuple[keras.Model, ...]:
        return build_size(self._family, self._number, self._data, self._seed(number))

    def _seed(self, number: int) -> int:
        return self._config.seed + _RUN_SEED + number


def build_size(family: FamilyStudy, number: int, data: Dataset, seed: int) -> tuple[keras.Model, ...]:
    """Fresh groups of a size."""
    size = family.sizes[number]
    return build_side(size, "student", data.input_shape, data.num_classes, seed=seed, teacher=family.teacher)
