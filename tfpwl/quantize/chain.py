"""Which files run for a mix, by stem, and the runs that several mixes have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tfpwl.mix import STUDENT, Mix

_SIDE = {"S": "student", "T": "teacher"}


@dataclass(frozen=True, slots=True)
class End:
    """A place where files meet: ``side`` ("student" or "teacher") of boundary ``index``."""

    index: int
    side: str

    def __str__(self) -> str:
        return f"the {self.side} side of boundary {self.index}"


def chain(stems: Collection[str], mix: Mix) -> tuple[str, ...]:
    """The stems that run one after another for ``mix``, converters included where there are any.

    Example:
        >>> chain({"b0.encoder", "b0.decoder"}, Mix("TS"))
        ('g0.teacher', 'b0.encoder', 'g1.student')
    """
    steps: list[str] = []
    for index, side in enumerate(mix):
        if index and mix[index - 1] != side:
            converter = f"b{index - 1}.{'encoder' if side == STUDENT else 'decoder'}"
            steps.extend([converter] if converter in stems else [])
        steps.append(f"g{index}.{_SIDE[side]}")
    return tuple(steps)


def ends(stem: str, num_groups: int) -> tuple[End | None, End | None]:
    """What the input and the output of a file touch; None for the bundle's own ends.

    Example:
        >>> [str(end) for end in ends("b0.encoder", 2)]
        ['the teacher side of boundary 0', 'the student side of boundary 0']
    """
    place, _, what = stem.partition(".")
    index = int(place[1:])
    if what == "encoder":
        return End(index, "teacher"), End(index, "student")
    if what == "decoder":
        return End(index, "student"), End(index, "teacher")
    return (
        None if index == 0 else End(index - 1, what),
        None if index == num_groups - 1 else End(index, what),
    )


@dataclass
class Run:
    """One file, run on what the run before it gave; ``following`` are the runs on its output."""

    stem: str
    following: list[Run] = field(default_factory=list)


def runs(stems: Collection[str], mixes: Iterable[Mix]) -> list[Run]:
    """The runs of all ``mixes`` as a tree in which a shared beginning stands once."""
    first: list[Run] = []
    for mix in mixes:
        siblings = first
        for stem in chain(stems, mix):
            run = next((run for run in siblings if run.stem == stem), None)
            if run is None:
                run = Run(stem)
                siblings.append(run)
            siblings = run.following
    return first
