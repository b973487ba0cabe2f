"""What the manifest says about both ends of every file, so that each loader checks the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tfpwl.bundle.entries import FileEntry, TensorSpec
from tfpwl.bundle.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Face:
    """One end of one file: ``end`` is ``input`` or ``output``; ``where`` names what it touches, for messages."""

    entry: FileEntry
    end: str
    spec: TensorSpec
    where: str
    at_boundary: bool

    def accepts(self, found: TensorSpec) -> bool:
        """Whether the file's tensor is the one that the manifest promises."""
        if self.at_boundary:
            return self.spec.agrees_with(found)
        # uint8 images carry the scale of the pixels, which the manifest has no place for.
        return (self.spec.shape, self.spec.dtype) == (found.shape, found.dtype)


def faces_of(manifest: Manifest) -> Iterator[Face]:
    """Both ends of every file of the bundle."""
    first, last = manifest.groups[0], manifest.groups[-1]
    for entry in (first.student, first.teacher):
        spec = TensorSpec(manifest.input.shape, manifest.input.dtype)
        yield Face(entry, "input", spec, "the bundle's input", False)
    for entry in (last.student, last.teacher):
        spec = TensorSpec(manifest.output.shape, manifest.output.dtype)
        yield Face(entry, "output", spec, "the bundle's output", False)
    for i, boundary in enumerate(manifest.boundaries):
        before, after = manifest.groups[i], manifest.groups[i + 1]
        ends = [
            (before.student, "output", "student"),
            (after.student, "input", "student"),
            (before.teacher, "output", "teacher"),
            (after.teacher, "input", "teacher"),
        ]
        if boundary.encoder is not None and boundary.decoder is not None:
            ends += [(boundary.encoder, "input", "teacher"), (boundary.encoder, "output", "student")]
            ends += [(boundary.decoder, "input", "student"), (boundary.decoder, "output", "teacher")]
        for entry, end, side in ends:
            spec = boundary.student if side == "student" else boundary.teacher
            yield Face(entry, end, spec, f"the {side} side of boundary {i}", True)
