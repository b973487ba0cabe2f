"""``tfpwl wave study``: the same sizes from WAVE and its rivals on the same budget.

Everything that is finished lies in the work folder as a file of its own, written whole: a study that was killed goes on
from there. The folder's name holds the sum of configuration, data and code, so that results of two never mix.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import keras

from tfpwl.config import TrainConfig, digest
from tfpwl.data import Dataset, load_section
from tfpwl.fused import fuse_batchnorm
from tfpwl.models import build_side
from tfpwl.pairs import compose, load_side, save_side
from tfpwl.training import cross_entropy, fit
from tfpwl.wave.condense import condense
from tfpwl.wave.configured import augmentation, batches_of, family_of
from tfpwl.wave.course import Course, weights_of
from tfpwl.wave.records import Json, read_record, write_record
from tfpwl.wave.size_runs import SizeRuns, build_size
from tfpwl.wave.study_config import FamilyStudy, StudyConfig
from tfpwl.wave.templates import save_templates

Progress = Callable[[str, int, int, Mapping[str, float]], None]
_TEACHER_SEED, _CONDENSE_SEED, _AUGMENT_SEED = 0, 1, 2
_POLL_S = 2.0


@dataclass(frozen=True)
class _Job:
    """What one process does at a time; ``number`` is a size of the family, ``start`` that of a choice of rates."""

    task: Literal["prepare", "rates", "curves", "long"]
    family: int
    number: int = 0
    start: str = ""


def run_study(config: StudyConfig, output: Path, *, workers: int = 1, on_progress: Progress | None = None) -> Json:
    """Run what is not there yet and gather everything.

    Nothing is chosen on test images: learning rates are, on validation images, and everything else is in ``config``.

    Args:
        config: the study.
        output: its folder; artifacts go to ``<output>/work-<sum>``.
        workers: processes that work side by side, one thread each; 1 works here.
        on_progress: called with what runs, done, in all, metrics.

    Returns:
        The results as plain data: what ``tfpwl.wave.study_tables`` makes tables of.

    Raises:
        TfpwlError: data, a model or a training does not allow it.
    """
    report = on_progress or (lambda *_: None)
    data = load_section(config.data, config.seed)
    work = output / f"work-{digest([config.key(), data.digest(), _code(), keras.__version__])[:12]}"
    work.mkdir(parents=True, exist_ok=True)
    phases = _phases(config)
    total = _num_results(config)

    def count() -> None:
        report("results", min(total, len(list(work.glob("*/*.json"))) + len(list(work.glob("*/*/*.json")))), total, {})

    for jobs in phases:
        if workers == 1:
            for job in jobs:
                _do(config, data, work, job)
                count()
        else:
            _do_in_processes(config, work, jobs, workers, count)
    return _gather(config, data, work)


def _code() -> str:
    """Sum of the code that decides over results."""
    here = Path(__file__).parent
    files = sorted([*here.glob("*.py"), *(here.parent / "models").glob("*.py"), here.parent / "training.py"])
    return digest(
        [path.read_text(encoding="utf-8") for path in files if path.name not in ("study_tables.py", "study_config.py")]
    )


def _phases(config: StudyConfig) -> list[list[_Job]]:
    """The jobs, in sets that need the set before; last sizes first, for nothing would run beside a late large one."""
    families = range(len(config.families))
    sizes = [(index, number) for index in families for number in range(len(config.families[index].sizes))][::-1]
    rates = [
        _Job("rates", index, start=start)
        for index in families
        if config.families[index].learning_rates
        for start in config.starts
    ]
    long = sizes if config.long_epochs and "random" in config.starts else []
    return [
        [_Job("prepare", index) for index in families], rates, [_Job("curves", *size) for size in sizes],
        [_Job("long", *size) for size in long],
    ]  # fmt: skip


def _num_results(config: StudyConfig) -> int:
    prepare, rates, curves, long = _phases(config)
    return 2 * len(prepare) + len(rates) + len(curves) * len(config.starts) * config.seeds + len(long)


def _do(config: StudyConfig, data: Dataset, work: Path, job: _Job) -> None:
    family, folder = config.families[job.family], work / str(job.family)
    if job.task == "prepare":
        _prepare(config, family, data, folder)
        return
    runs = SizeRuns(config, family, data, folder, job.number)
    if job.task == "rates":
        runs.choose_rates(job.start)
    elif job.task == "curves":
        runs.curves()
    else:
        runs.long_random()


def _do_in_processes(
    config: StudyConfig, work: Path, jobs: Sequence[_Job], workers: int, count: Callable[[], None]
) -> None:
    # Read by TensorFlow when it starts: two processes of one thread each use two cores better than one of two.
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in threads}
    os.environ.update(threads)
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            pending = {pool.submit(_do_alone, config, work, job) for job in jobs}
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


def _do_alone(config: StudyConfig, work: Path, job: _Job) -> None:
    _do(config, load_section(config.data, config.seed), work, job)


def _prepare(config: StudyConfig, family: FamilyStudy, data: Dataset, folder: Path) -> None:
    """Train the teacher and condense it, unless that is done."""
    folder.mkdir(exist_ok=True)
    if not (folder / "teacher.json").exists():
        _train_teacher(config, family, data, folder)
    if not (folder / "condense.json").exists():
        _condense(config, family, data, folder)


def _train_teacher(config: StudyConfig, family: FamilyStudy, data: Dataset, folder: Path) -> None:
    seed, train = config.seed + _TEACHER_SEED, family.teacher.train or TrainConfig()
    keras.utils.set_random_seed(seed)
    teacher = build_side(family.teacher, "teacher", data.input_shape, data.num_classes, seed=seed)
    fast = [fuse_batchnorm(group) for group in teacher]
    augment, seedables = augmentation(config.data.augment, data, config.seed + _AUGMENT_SEED)
    with _Clock(folder / "teacher.seconds") as clock:
        fit(
            compose([*([augment] if augment is not None else []), *fast], "teacher"),
            batches_of(data, train.batch_size, seed), train,
            loss=cross_entropy(train.label_smoothing), seedables=seedables,
            checkpoint=folder / "teacher.checkpoint", on_progress=clock.note,
        )  # fmt: skip
    for group, trained in zip(teacher, fast, strict=True):
        group.set_weights(trained.get_weights())
    save_side(teacher, folder / "teacher", "teacher")
    course = Course(teacher, data, family.train, config.subset, config.test_limit)
    accuracy = course.train(weights_of(teacher), 0, 0, 0.0, config.split)
    write_record(folder / "teacher.json", {
        "accuracy": accuracy, "parameters": course.num_parameters, "seconds": clock.seconds,
        "epochs": train.epochs,
    })  # fmt: skip
    shutil.rmtree(folder / "teacher.checkpoint", ignore_errors=True)


def _condense(config: StudyConfig, family: FamilyStudy, data: Dataset, folder: Path) -> None:
    teacher = load_side(folder / "teacher", "teacher")
    augment, seedables = augmentation(config.data.augment, data, config.seed + _AUGMENT_SEED)
    with _Clock(folder / "condense.seconds") as clock:
        templates, history = condense(
            teacher, teacher, batches_of(data, family.condense.batch_size, config.seed + _CONDENSE_SEED),
            family.condense, family=family_of(family.teacher),
            wanted=[build_size(family, number, data, config.seed) for number in range(len(family.sizes))],
            num_templates=family.num_templates, temperature=family.condense.temperature, alpha=family.condense.alpha,
            augment=augment, seedables=seedables, seed=config.seed, source={"study": config.name},
            checkpoint=folder / "condense.checkpoint", on_progress=clock.note,
        )  # fmt: skip
    save_templates(templates, folder / "templates.npz")
    write_record(folder / "condense.json", {
        "seconds": clock.seconds, "epochs": family.condense.epochs, "accuracy": history.epochs[-1]["accuracy"],
        "templates": {kind: list(value.shape) for kind, value in templates.templates.items()},
        "template_parameters": templates.num_parameters,
    })  # fmt: skip
    shutil.rmtree(folder / "condense.checkpoint", ignore_errors=True)


def _gather(config: StudyConfig, data: Dataset, work: Path) -> Json:
    families = []
    for index, family in enumerate(config.families):
        folder = work / str(index)
        sizes = []
        for number, size in enumerate(family.sizes):
            results = folder / f"size{number}"
            sizes.append({
                "size": size.params,
                "runs": {
                    start: [read_record(results / f"{start}-{seed}.json") for seed in range(config.seeds)]
                    for start in config.starts
                },
                "long": read_record(results / "long.json") if (results / "long.json").exists() else None,
            })  # fmt: skip
        teacher = read_record(folder / "teacher.json")
        teacher.update(family.teacher.params)
        rates = {s: read_record(folder / "rates" / f"{s}.json") for s in config.starts} if family.learning_rates else {}
        families.append({
            "family": family_of(family.teacher), "teacher": teacher,
            "condense": read_record(folder / "condense.json"), "sizes": sizes, "rates": rates,
        })  # fmt: skip
    measured = data.test if config.split == "test" else data.val
    images = min(len(data.train), config.subset or len(data.train))
    return {
        "name": config.name, "data": data.name, "teacher_images": len(data.train), "images": images,
        "split": config.split, "test_images": min(len(measured), config.test_limit or len(measured)),
        "batch_size": [family.train.batch_size for family in config.families],
        "seeds": config.seeds, "starts": list(config.starts), "epochs": [0, *config.epochs],
        "long_epochs": list(config.long_epochs), "scaler_steps": config.scaler_steps,
        "keras": keras.__version__, "backend": keras.backend.backend(), "families": families,
    }  # fmt: skip


class _Clock:
    """CPU seconds of a block, added to those that a run before it left in ``path``, though it was killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds = 0.0

    def __enter__(self) -> _Clock:
        self._before = read_record(self._path)["seconds"] if self._path.exists() else 0.0
        self._begun = time.process_time()
        return self

    def note(self, *_: object) -> None:
        """Write down the time so far; a fit calls it every few steps."""
        self.seconds = round(self._before + time.process_time() - self._begun, 1)
        write_record(self._path, {"seconds": self.seconds})

    def __exit__(self, *_: object) -> None:
        self.note()
