"""The models in one piece that a bundle is compared with: where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfpwl.bundle import Bundle
from tfpwl.errors import DataError

FOLDER = "rivals"


@dataclass(frozen=True, slots=True)
class Rivals:
    """Files in one piece: teacher and student at the bundle's precision, the teacher at fp32; None: not there."""

    teacher: Path | None = None
    student: Path | None = None
    teacher_fp32: Path | None = None


def find_rivals(bundle: Bundle, teacher: Path | None = None, student: Path | None = None) -> Rivals:
    """The files given, or those beside the bundle.

    Looked at are ``rivals/teacher.<precision>.tflite``, ``rivals/student.<precision>.tflite`` and
    ``rivals/teacher.fp32.tflite`` in the bundle's parent folder and, for an fp32 bundle of a build, the teacher in one
    piece that its export left under ``stages/``.

    Raises:
        DataError: a file that was given is not there.
    """
    for given in (teacher, student):
        if given is not None and not given.is_file():
            raise DataError(f"There is no file {given}; expected a whole model as one .tflite file.")
    folder, precision = bundle.root.parent / FOLDER, bundle.manifest.precision
    fp32 = _existing(folder / "teacher.fp32.tflite") or _exported(bundle.root.parent)
    found = _existing(folder / f"teacher.{precision}.tflite") or (fp32 if precision == "fp32" else None)
    return Rivals(
        teacher=teacher or found,
        student=student or _existing(folder / f"student.{precision}.tflite"),
        teacher_fp32=fp32,
    )


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _exported(folder: Path) -> Path | None:
    """The one-piece teacher of a build; None where several exports lie there, as it is unknown which one it was."""
    found = sorted(folder.glob("stages/export-*/teacher.tflite"))
    return found[0] if len(found) == 1 else None
