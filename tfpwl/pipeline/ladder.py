"""The stage ``quantize``: every rung of the precision ladder as files, measured side by side, and the choice."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tfpwl.bundle import Bundle, Quantization, RungEntry
from tfpwl.config import QuantizeConfig
from tfpwl.data import Dataset
from tfpwl.errors import QuantizationError
from tfpwl.evaluate import compare_latency, evaluate_mixes, teacher_difference
from tfpwl.mix import Mix, all_mixes
from tfpwl.pipeline.store import CHECKPOINT
from tfpwl.quantize import (
    BoundaryRange,
    Calibration,
    Rung,
    boundary_errors,
    calibrate,
    choose,
    has_float_boundaries,
    quantize_files,
    quantize_whole,
)

Array = NDArray[Any]
OnProgress = Callable[[int, int, Mapping[str, float]], None]
WHOLE = "teacher"  # stem of the teacher in one piece, which is no part of a bundle
_FLOAT = "fp32"
_METHODS = {"fp32": "export", "fp16": "weights", "w8": "weights", "int8": "calibration"}
_ANSWERS = 200  # per mix and rung
_ERROR_IMAGES = 64  # for the errors at the boundaries
_DIFFERENCE_IMAGES = 100  # for contract 4


class Rebuilt(NamedTuple):
    """Float files of a pair that was changed for int8, and the boundary ranges to pin (None: those of the images)."""

    files: Mapping[str, bytes]
    boundaries: Sequence[BoundaryRange] | None


class Remedy(NamedTuple):
    """Another way to int8, for a pair that misses the gate by calibration.

    ``make`` gets an empty folder for itself and raises QuantizationError where the way is barred.
    """

    method: str
    make: Callable[[Path], Rebuilt]


class WriteBundle(Protocol):
    """Writes a bundle for measuring; its name, labels and preprocessing are the pipeline's."""

    def __call__(self, folder: Path, files: Mapping[str, bytes], precision: str) -> Bundle: ...


@dataclass
class Ladder:
    """The rungs made so far. One object per run of the stage.

    Attributes:
        config: the pipeline's ``quantize`` section.
        data: preprocesses images; calibration takes training images, accuracy the test set.
        files: the float files by stem, the teacher in one piece among them.
        path: the mixes that count.
        mixes: the mixes to measure, those of the path at least.
        work: folder to write into: a folder per rung.
        write: writes a bundle.
        seed: of the choice of calibration images.
        limit: test images used, all when None.
        workers: processes that evaluate.
        on_progress: hears how many images are evaluated.
    """

    config: QuantizeConfig
    data: Dataset
    files: Mapping[str, bytes]
    path: Sequence[Mix]
    mixes: Sequence[Mix]
    work: Path
    write: WriteBundle
    seed: int
    limit: int | None
    workers: int | None
    on_progress: OnProgress
    _bundles: dict[str, Bundle] = field(default_factory=dict)
    _rungs: dict[str, Rung] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)

    def run(self, remedies: Sequence[Remedy] = ()) -> dict[str, Any]:
        """Make and measure the rungs, choose one; leaves ``<rung>/*.tflite`` in the folder.

        Args:
            remedies: tried in this order while int8 misses the gate.

        Returns:
            The stage's metrics: ``rungs``, ``chosen``, ``passed``, ``reason`` and what the report shows beside them.
        """
        # What a run that was killed has left, but for the checkpoint of its training.
        for folder in self.work.glob("*"):
            if folder.name != CHECKPOINT:
                shutil.rmtree(folder, ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)
        calibration = self._calibrate(self.files) if "int8" in self.config.ladder else None
        for precision in dict.fromkeys((_FLOAT, *self.config.ladder)):
            self._add(precision, _METHODS[precision], self.files, calibration)
        if calibration is not None and not has_float_boundaries(_pair_files(self.files)):
            self._apply(remedies)
        self._measure_latency()
        on_ladder = [rung for rung in self._rungs.values() if rung.precision in self.config.ladder]
        on_ladder.sort(key=lambda rung: self.config.ladder.index(rung.precision))
        choice = choose(
            on_ladder, self._rungs[_FLOAT], self.path, max_drop=self.config.gate.max_drop, select=self.config.select
        )
        shutil.rmtree(self.scratch, ignore_errors=True)
        return {
            "rungs": [self._as_metrics(rung) for rung in self._rungs.values()],
            "chosen": choice.rung.name,
            "passed": choice.passed,
            "reason": choice.reason,
            "notes": self._notes,
            "max_drop": self.config.gate.max_drop,
            "calibration_images": 0 if calibration is None else calibration.num_images,
            "path": [str(mix) for mix in self.path],
            "num_test_images": len(self._test[0]),
        }

    @property
    def _test(self) -> tuple[Array, Array]:
        """Raw test images and labels."""
        return self.data.test.x[: self.limit], self.data.test.y[: self.limit]

    @property
    def scratch(self) -> Path:
        """Folder for what is not needed after the stage."""
        return self.work / "scratch"

    def folder_of(self, method: str) -> Path:
        """Where a remedy works; what it leaves there lasts until the stage ends."""
        return self.scratch / f"pair-{method}"

    def _calibrate(self, files: Mapping[str, bytes], boundaries: Sequence[BoundaryRange] | None = None) -> Calibration:
        section = self.config.calibration
        mixes = all_mixes(len(self.path) - 1) if section.mixes == "all" else self.path
        images = self.data.preprocess(calibration_images(self.data, section.samples, self.seed))
        return calibrate(_pair_files(files), images, mixes, boundaries=boundaries)

    def _add(self, precision: str, method: str, files: Mapping[str, bytes], calibration: Calibration | None) -> None:
        """Write the files of a rung and measure all but its speed."""
        rung = Rung(precision=precision, method=method, bytes=0, accuracy={}, latency_ms={}, latency_p90_ms={})
        pair, folder = _pair_files(files), self.work / rung.name
        quantized = quantize_files(pair, precision, calibration)
        whole = quantize_whole(files[WHOLE], pair, precision, calibration)
        folder.mkdir()
        for stem, model in {**quantized, WHOLE: whole}.items():
            (folder / f"{stem}.tflite").write_bytes(model)
        bundle = self._bundles[rung.name] = self.write(self.scratch / rung.name, quantized, precision)
        x, y = self._test
        done, expected = len(self._rungs) * len(x), len(self.config.ladder) * len(x)
        results = evaluate_mixes(
            bundle, x, y, self.mixes, raw=True, workers=self.workers,
            on_progress=lambda now, _: self.on_progress(done + now, max(expected, done + len(x)), {}),
        )  # fmt: skip
        self._rungs[rung.name] = replace(
            rung,
            bytes=sum(entry.bytes for entry in bundle.files()),
            accuracy={str(mix): result.accuracy for mix, result in results.items()},
            boundaries=boundary_errors(pair, quantized, self.data.preprocess(x[:_ERROR_IMAGES]), self.path),
            teacher_difference=teacher_difference(bundle, whole, self.data.preprocess(x[:_DIFFERENCE_IMAGES])),
        )

    def _apply(self, remedies: Sequence[Remedy]) -> None:
        for method, make in remedies:
            integer = [rung for rung in self._rungs.values() if rung.precision == "int8"]
            if any(self._worst_drop(rung)[0] <= self.config.gate.max_drop for rung in integer):
                return
            try:
                rebuilt = make(self.folder_of(method))
                calibration = self._calibrate(rebuilt.files, rebuilt.boundaries)
                self._add("int8", method, rebuilt.files, calibration)
            except QuantizationError as exc:
                # A layer that tfmot lacks, for instance: the other rungs stand, and the report says what is missing.
                self._notes.append(f"There is no int8 by {method}: {exc}")

    def _worst_drop(self, rung: Rung) -> tuple[float, Mix]:
        return rung.worst_drop(self._rungs[_FLOAT], self.path)

    def _measure_latency(self) -> None:
        """All rungs in turn, now that all are there, so that drift of the machine cancels."""
        times = compare_latency(self._bundles, self.mixes, answers=_ANSWERS)
        for name, rung in self._rungs.items():
            self._rungs[name] = replace(
                rung,
                latency_ms={str(mix): round(taken.median_ms, 4) for mix, taken in times[name].items()},
                latency_p90_ms={str(mix): round(taken.p90_ms, 4) for mix, taken in times[name].items()},
            )

    def _as_metrics(self, rung: Rung) -> dict[str, Any]:
        drop, mix = self._worst_drop(rung)
        on_ladder = rung.precision in self.config.ladder
        return {**asdict(rung), "name": rung.name, "drop": drop, "worst_mix": str(mix), "on_ladder": on_ladder}


def calibration_images(data: Dataset, samples: int, seed: int) -> Array:
    """Raw training images for calibration: a random choice, the same for the same seed."""
    chosen = np.random.default_rng(seed).permutation(len(data.train))[:samples]
    return data.train.x[np.sort(chosen)]


def rung_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The chosen rung's entry in the stage's metrics."""
    rung: dict[str, Any] = next(rung for rung in metrics["rungs"] if rung["name"] == metrics["chosen"])
    return rung


def manifest_entry(metrics: Mapping[str, Any]) -> Quantization:
    """The choice as it goes into the manifest."""
    chosen, teacher = rung_metrics(metrics), metrics["path"][-1]
    return Quantization(
        chosen["precision"],
        chosen["method"],
        metrics["reason"],
        tuple(
            RungEntry(rung["precision"], rung["method"], rung["bytes"], rung["drop"], rung["latency_ms"][teacher])
            for rung in metrics["rungs"]
            if rung["on_ladder"]
        ),
    )


def read_files(folder: Path) -> dict[str, bytes]:
    """The ``.tflite`` files of an artifact, by stem."""
    return {path.stem: path.read_bytes() for path in sorted(folder.glob("*.tflite"))}


def _pair_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {stem: model for stem, model in files.items() if stem != WHOLE}
