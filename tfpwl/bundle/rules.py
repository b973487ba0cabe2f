"""Rules of the manifest that hold between fields; those of single fields stand with the fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfpwl import mix as mixes
from tfpwl.bundle.schema import shorten
from tfpwl.errors import ManifestError

if TYPE_CHECKING:
    from tfpwl.bundle.entries import BoundaryEntry
    from tfpwl.bundle.manifest import Manifest


def check_rules(manifest: Manifest) -> None:
    """Check what one field says against what another says.

    Raises:
        ManifestError: with the JSON path of the first place that breaks a rule.
    """
    _check_ends(manifest)
    _check_order(manifest)
    _check_path(manifest)
    _check_boundaries(manifest)
    _check_names(manifest)
    if manifest.quantization is not None and manifest.quantization.chosen != manifest.precision:
        raise ManifestError(
            f"quantization.chosen: received {manifest.quantization.chosen!r}; expected {manifest.precision!r}, the "
            "bundle's precision"
        )


def _check_ends(manifest: Manifest) -> None:
    channels, given = manifest.input.shape[-1], len(manifest.input.preprocess.mean)
    if given not in (1, channels):
        raise ManifestError(
            f"input.preprocess.mean: received {given} numbers; expected 1 or {channels}, one per channel of input.shape"
        )
    if manifest.output.shape[0] != manifest.input.shape[0]:
        raise ManifestError(
            f"output.shape: received a batch of {manifest.output.shape[0]}; expected {manifest.input.shape[0]}, "
            "that of input.shape"
        )


def _check_order(manifest: Manifest) -> None:
    if sorted(manifest.order) != list(range(manifest.num_groups)):
        raise ManifestError(
            f"order: received {_short(manifest.order)}; expected each group 0..{manifest.num_groups - 1} once"
        )


def _check_path(manifest: Manifest) -> None:
    expected = mixes.path(manifest.order)
    if len(manifest.path) != len(expected):
        raise ManifestError(f"path: received {len(manifest.path)} mixes; order leads through {len(expected)}")
    for i, (entry, mix) in enumerate(zip(manifest.path, expected, strict=True)):
        if entry.mix != mix:
            raise ManifestError(f"path[{i}].mix: received {str(entry.mix)!r}; order leads to {str(mix)!r}")


def _check_boundaries(manifest: Manifest) -> None:
    if len(manifest.boundaries) != manifest.num_groups - 1:
        raise ManifestError(
            f"boundaries: received {len(manifest.boundaries)}; expected {manifest.num_groups - 1}, "
            f"one between each two of {manifest.num_groups} groups"
        )
    for i, boundary in enumerate(manifest.boundaries):
        _check_shapes(f"boundaries[{i}]", boundary, manifest.input.shape[0])
        _check_converters(f"boundaries[{i}]", boundary)


def _check_shapes(where: str, boundary: BoundaryEntry, batch: int) -> None:
    student, teacher = boundary.student.shape, boundary.teacher.shape
    if student[:-1] != teacher[:-1]:
        raise ManifestError(
            f"{where}: the student's shape is {list(student)} and the teacher's {list(teacher)}; "
            "all but the last axis (channels) must be equal"
        )
    if student[0] != batch:
        raise ManifestError(f"{where}: received a batch of {student[0]}; expected {batch}, that of input.shape")


def _check_converters(where: str, boundary: BoundaryEntry) -> None:
    encoder, decoder = boundary.encoder, boundary.decoder
    if (encoder is None) != (decoder is None):
        missing = "encoder" if encoder is None else "decoder"
        raise ManifestError(f"{where}.{missing}: missing, but the other converter is there; expected both or neither")
    differ = boundary.student.shape[-1] != boundary.teacher.shape[-1]
    if differ and encoder is None:
        raise ManifestError(
            f"{where}.encoder: missing; the student has {boundary.student.shape[-1]} channels and the teacher "
            f"{boundary.teacher.shape[-1]}, so encoder and decoder are needed"
        )
    if not differ and encoder is not None:
        raise ManifestError(
            f"{where}.encoder: received {encoder.file!r}; expected none, "
            f"because both sides have {boundary.student.shape[-1]} channels"
        )
    if not differ and not boundary.student.agrees_with(boundary.teacher):
        raise ManifestError(
            f"{where}: the student has {boundary.student} and the teacher {boundary.teacher}; expected the same, "
            "because without converters a tensor goes from one side's file straight into the other's"
        )


def _check_names(manifest: Manifest) -> None:
    seen: set[str] = set()
    labels = () if manifest.output.labels is None else (manifest.output.labels,)
    for name in (*labels, *(entry.file for entry in manifest.files())):
        # Folders on some systems do not tell cases apart.
        if name.lower() in seen:
            raise ManifestError(f"the file name {name!r} stands twice in the manifest; each entry needs its own file")
        seen.add(name.lower())


def _short(values: tuple[int, ...]) -> str:
    return shorten(str(list(values)))
