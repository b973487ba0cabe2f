"""How many bytes each group of a bundle takes."""

from __future__ import annotations

from dataclasses import dataclass

from tfpwl.bundle import Manifest


@dataclass(frozen=True, slots=True)
class GroupSizes:
    """Bytes of a group's files, and of the converters at the boundary behind it; None where there is no converter."""

    student: int
    teacher: int
    encoder: int | None = None
    decoder: int | None = None

    @property
    def total(self) -> int:
        """All of them together."""
        return self.student + self.teacher + (self.encoder or 0) + (self.decoder or 0)


def group_sizes(manifest: Manifest) -> tuple[GroupSizes, ...]:
    """The sizes as a manifest has them; behind the last group there is no boundary.

    Example:
        >>> group_sizes(Bundle.open("runs/digits_resnet/bundle").manifest)[0].student     # doctest: +SKIP
        8034
    """
    converters = [
        tuple(None if entry is None else entry.bytes for entry in (boundary.encoder, boundary.decoder))
        for boundary in manifest.boundaries
    ]
    return tuple(
        GroupSizes(group.student.bytes, group.teacher.bytes, *pair)
        for group, pair in zip(manifest.groups, [*converters, (None, None)], strict=True)
    )
