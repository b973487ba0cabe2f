"""``tfpwl wave study``: the same sizes from WAVE and its rivals on the same budget.

Everything that is finished lies in the work folder as a file of its own, written whole: a study that was killed goes on
from there. The folder's name holds the sum of configuration, data and code, so that results of two never mix.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfpwl.config import ModelConfig, digest
from tfpwl.data import Dataset, load_dataset
from tfpwl.fused import fuse_batchnorm
from tfpwl.models import build_side
from tfpwl.pairs import compose, load_side, save_side
from tfpwl.training import cross_entropy, fit
from tfpwl.wave.auxiliary import count_scalers
from tfpwl.wave.condense import condense
from tfpwl.wave.configured import augmentation, batches_of, family_of
from tfpwl.wave.course import Course, weights_of
from tfpwl.wave.initialise import SCALER_FIT, initialise
from tfpwl.wave.rivals import start_by_pruning, start_by_selection, start_random
from tfpwl.wave.study_config import FamilyStudy, StudyConfig
from tfpwl.wave.templates import load_templates, save_templates

Progress = Callable[[str, int, int, Mapping[str, float]], None]
Json = dict[str, Any]
_TEACHER_SEED, _CONDENSE_SEED, _AUGMENT_SEED, _RUN_SEED = 0, 1, 2, 100
_POLL_S = 2.0


def run_study(config: StudyConfig, output: Path, *, workers: int = 1, on_progress: Progress | None = None) -> Json:
    """Run what is not there yet and gather everything.

    Args:
        config: the study.
        output: its folder; artifacts go to ``<output>/work-<sum>``.
        workers: processes that train sizes side by side, one thread each; 1 trains here.
        on_progress: called with what runs, done, in all, metrics.

    Returns:
        The results as plain data: what ``tfpwl.wave.study_tables`` makes tables of.

    Raises:
        TfpwlError: data, a model or a training does not allow it.
    """
    report = on_progress or (lambda *_: None)
    data = _load(config)
    work = output / f"work-{digest([config.key(), data.digest(), _code(), keras.__version__])[:12]}"
    work.mkdir(parents=True, exist_ok=True)
    for index, family in enumerate(config.families):
        _prepare(config, family, data, work / str(index), report)
    sizes = [(index, number) for index, family in enumerate(config.families) for number in range(len(family.sizes))]
    total = len(sizes) * _num_runs(config)

    def count() -> None:
        report("sizes", min(total, len(list(work.glob("*/size*/*.json")))), total, {})

    if workers == 1:
        for size in sizes:
            _run_size(config, data, work, size, count)
    else:
        _run_in_processes(config, work, sizes, workers, count)
    return _gather(config, data, work)


def _load(config: StudyConfig) -> Dataset:
    chosen = config.data
    return load_dataset(
        chosen.name, path=chosen.path, folder=chosen.folder, npz=chosen.npz, python=chosen.python,
        validation=chosen.validation, seed=config.seed, limit=chosen.limit, image_size=chosen.image_size,
    )  # fmt: skip


def _code() -> str:
    """Sum of the code that decides over results."""
    here = Path(__file__).parent
    files = sorted([*here.glob("*.py"), *(here.parent / "models").glob("*.py"), here.parent / "training.py"])
    return digest([path.read_text() for path in files if path.name not in ("study_tables.py", "study_config.py")])


def _num_runs(config: StudyConfig) -> int:
    return len(config.starts) * config.seeds + (1 if config.long_epochs and "random" in config.starts else 0)


def _prepare(config: StudyConfig, family: FamilyStudy, data: Dataset, folder: Path, report: Progress) -> None:
    """Train the teacher and condense it, unless that is done."""
    name = family_of(family.teacher)
    folder.mkdir(exist_ok=True)
    if not (folder / "teacher.json").exists():
        _train_teacher(config, family, data, folder, lambda *done: report(f"{name} teacher", *done))
    if not (folder / "condense.json").exists():
        _condense(config, family, data, folder, lambda *done: report(f"{name} templates", *done))


def _train_teacher(config: StudyConfig, family: FamilyStudy, data: Dataset, folder: Path, report: Any) -> None:
    seed = config.seed + _TEACHER_SEED
    keras.utils.set_random_seed(seed)
    teacher = build_side(family.teacher, "teacher", data.input_shape, data.num_classes, seed=seed)
    fast = [fuse_batchnorm(group) for group in teacher]
    augment, seedables = augmentation(config.data.augment, data, config.seed + _AUGMENT_SEED)
    with _Clock(folder / "teacher.seconds") as clock:
        fit(
            compose([*([augment] if augment is not None else []), *fast], "teacher"),
            batches_of(data, family.teacher.train.batch_size, seed), family.teacher.train,
            loss=cross_entropy(family.teacher.train.label_smoothing), seedables=seedables,
            checkpoint=folder / "teacher.checkpoint", on_progress=report,
        )  # fmt: skip
    for group, trained in zip(teacher, fast, strict=True):
        group.set_weights(trained.get_weights())
    save_side(teacher, folder / "teacher", "teacher")
    course = Course(teacher, data, family.train, config.subset, config.test_limit)
    accuracy = course.train(weights_of(teacher), 0, 0)
    _write(folder / "teacher.json", {
        "accuracy": accuracy, "parameters": course.num_parameters, "seconds": clock.seconds,
        "epochs": family.teacher.train.epochs,
    })  # fmt: skip
    shutil.rmtree(folder / "teacher.checkpoint", ignore_errors=True)


def _condense(config: StudyConfig, family: FamilyStudy, data: Dataset, folder: Path, report: Any) -> None:
    teacher = load_side(folder / "teacher", "teacher")
    augment, seedables = augmentation(config.data.augment, data, config.seed + _AUGMENT_SEED)
    with _Clock(folder / "condense.seconds") as clock:
        templates, history = condense(
            teacher, teacher, batches_of(data, family.condense.batch_size, config.seed + _CONDENSE_SEED),
            family.condense, family=family_of(family.teacher),
            wanted=[_build(config, family, size, data, 0) for size in family.sizes],
            num_templates=family.num_templates, temperature=family.condense.temperature, alpha=family.condense.alpha,
            augment=augment, seedables=seedables, seed=config.seed, source={"study": config.name},
            checkpoint=folder / "condense.checkpoint", on_progress=report,
        )  # fmt: skip
    save_templates(templates, folder / "templates.npz")
    _write(folder / "condense.json", {
        "seconds": clock.seconds, "epochs": family.condense.epochs, "accuracy": history.epochs[-1]["accuracy"],
        "templates": {kind: list(value.shape) for kind, value in templates.templates.items()},
        "template_parameters": templates.num_parameters,
    })  # fmt: skip
    shutil.rmtree(folder / "condense.checkpoint", ignore_errors=True)


def _build(
    config: StudyConfig, family: FamilyStudy, size: ModelConfig, data: Dataset, seed: int
) -> tuple[keras.Model, ...]:
    return build_side(
        size, "student", data.input_shape, data.num_classes, seed=config.seed + _RUN_SEED + seed, teacher=family.teacher
    )


def _run_in_processes(
    config: StudyConfig, work: Path, sizes: Sequence[tuple[int, int]], workers: int, count: Callable[[], None]
) -> None:
    # Read by TensorFlow when it starts: two processes of one thread each use two cores better than one of two.
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in threads}
    os.environ.update(threads)
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            # The last sizes first: they are the largest, and nothing would run beside one that starts last.
            pending = {pool.submit(_size_in_process, config, work, size) for size in reversed(sizes)}
            try:
                while pending:
                    done, pending = wait(pending, timeout=_POLL_S)
                    for future in done:
                        future.result()
                    count()
            finally:
                for future in pending:
                    future.cancel()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _size_in_process(config: StudyConfig, work: Path, size: tuple[int, int]) -> None:
    _run_size(config, _load(config), work, size, lambda: None)


def _run_size(config: StudyConfig, data: Dataset, work: Path, size: tuple[int, int], count: Callable[[], None]) -> None:
    """All starts and seeds of one size, and the long runs of a random one."""
    index, number = size
    run = _Size(config, config.families[index], data, work / str(index), number)
    for seed in range(config.seeds):
        for start in config.starts:
            run.curve(start, seed)
            count()
    if config.long_epochs and "random" in config.starts:
        run.long_random()
        count()


@dataclass
class _Size:
    """The runs of one size. What it needs to train is made when a run is not there yet."""

    config: StudyConfig
    family: FamilyStudy
    data: Dataset
    folder: Path
    number: int

    def __post_init__(self) -> None:
        self.results = self.folder / f"size{self.number}"
        self.results.mkdir(exist_ok=True)
        self._course: Course | None = None

    @property
    def course(self) -> Course:
        if self._course is None:
            self._course = Course(
                self._fresh(0), self.data, self.family.train, self.config.subset, self.config.test_limit
            )
        return self._course

    def curve(self, start: str, seed: int) -> Json:
        """Accuracy after 0 and each of ``epochs``."""
        path = self.results / f"{start}-{seed}.json"
        if path.exists():
            return _read(path)
        begun = time.perf_counter()
        weights, scalers = self._start(start, seed)
        start_seconds = time.perf_counter() - begun
        accuracy = {"0": self.course.train(weights, 0, seed)}
        begun = time.perf_counter()
        for epochs in self.config.epochs:
            accuracy[str(epochs)] = self.course.train(weights, epochs, self._seed(seed))
        result = {
            "accuracy": accuracy, "start_seconds": round(start_seconds, 2), "scalers": scalers,
            "epoch_seconds": round((time.perf_counter() - begun) / sum(self.config.epochs), 3),
            "parameters": self.course.num_parameters,
        }  # fmt: skip
        _write(path, result)
        return result

    def long_random(self) -> None:
        """Longer and longer training from a random start of the first seed, until it reaches WAVE's mean."""
        path = self.results / "long.json"
        if path.exists():
            return
        last = str(self.config.epochs[-1])
        target = float(np.mean([self.curve("wave", seed)["accuracy"][last] for seed in range(self.config.seeds)]))
        accuracy = dict(self.curve("random", 0)["accuracy"])
        weights, _ = self._start("random", 0)
        for epochs in self.config.long_epochs:
            if max(accuracy.values()) >= target:
                break
            accuracy[str(epochs)] = self.course.train(weights, epochs, self._seed(0))
        reached = next((int(epochs) for epochs, value in accuracy.items() if value >= target), None)
        _write(path, {"target": target, "accuracy": accuracy, "reached_after": reached})

    def _start(self, start: str, seed: int) -> tuple[list[np.ndarray], dict[str, int] | None]:
        student, scalers = self._fresh(seed), None
        if start == "random":
            start_random(student, seed=self._seed(seed))
        elif start == "wave":
            templates = load_templates(self.folder / "templates.npz", family=family_of(self.family.teacher))
            scalers = count_scalers(student, templates.templates)
            initialise(
                student, templates, self.course.batches(self._seed(seed)), steps=self.config.scaler_steps,
                config=SCALER_FIT.model_copy(update={"learning_rate": self.config.scaler_learning_rate}),
                seed=self._seed(seed),
            )  # fmt: skip
        else:
            teacher = load_side(self.folder / "teacher", "teacher")
            (start_by_selection if start == "select" else start_by_pruning)(student, teacher)
        return weights_of(student), scalers

    def _fresh(self, seed: int) -> tuple[keras.Model, ...]:
        return _build(self.config, self.family, self.family.sizes[self.number], self.data, seed)

    def _seed(self, seed: int) -> int:
        return self.config.seed + _RUN_SEED + seed


def _gather(config: StudyConfig, data: Dataset, work: Path) -> Json:
    families = []
    for index, family in enumerate(config.families):
        folder = work / str(index)
        sizes = []
        for number, size in enumerate(family.sizes):
            results = folder / f"size{number}"
            sizes.append({
                "size": size.params,
                "runs": {s: [_read(results / f"{s}-{k}.json") for k in range(config.seeds)] for s in config.starts},
                "long": _read(results / "long.json") if (results / "long.json").exists() else None,
            })  # fmt: skip
        teacher = _read(folder / "teacher.json")
        teacher.update(family.teacher.params)
        families.append({
            "family": family_of(family.teacher), "teacher": teacher,
            "condense": _read(folder / "condense.json"), "sizes": sizes,
        })  # fmt: skip
    images = min(len(data.train), config.subset or len(data.train))
    return {
        "name": config.name, "data": data.name, "teacher_images": len(data.train), "images": images,
        "test_images": min(len(data.test), config.test_limit or len(data.test)),
        "batch_size": [family.train.batch_size for family in config.families],
        "seeds": config.seeds, "starts": list(config.starts), "epochs": [0, *config.epochs],
        "long_epochs": list(config.long_epochs), "scaler_steps": config.scaler_steps,
        "keras": keras.__version__, "backend": keras.backend.backend(), "families": families,
    }  # fmt: skip


class _Clock:
    """Seconds of a block, added to those that a run before it left in ``path`` (an interrupted run counts too)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds = 0.0

    def __enter__(self) -> _Clock:
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        before = _read(self._path)["seconds"] if self._path.exists() else 0.0
        self.seconds = round(before + time.perf_counter() - self._begun, 1)
        _write(self._path, {"seconds": self.seconds})


def _read(path: Path) -> Json:
    return json.loads(path.read_text())


def _write(path: Path, value: Json) -> None:
    """Write JSON whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    os.replace(partial, path)
