"""Mixes, load orders and the paths they walk: the words of Progressive Weight Loading.

A **mix** says which side runs in each group: ``"TTSS"`` runs the teacher's groups 0 and 1 and
the student's groups 2 and 3. An **order** is the sequence in which teacher groups replace student
groups; its **path** is the N+1 mixes it walks through, from ``"SSSS"`` to ``"TTTT"``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

STUDENT = "S"
TEACHER = "T"


class Mix(str):
    """Which side runs in each group, e.g. ``Mix("TTSS")``.

    A string of ``S`` (student) and ``T`` (teacher), one letter per group; it compares, hashes and
    prints like the plain string.

    Raises:
        ValueError: when the text is empty or has another letter than ``S`` and ``T``.

    Example:
        >>> Mix("SSTT").switches
        (1,)
        >>> Mix("SSSS").with_teacher(0)
        'TSSS'
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Mix:
        if not text or set(text) - {STUDENT, TEACHER}:
            raise ValueError(f"Received mix {text!r}; expected one letter S or T per group, such as 'TTSS'.")
        return super().__new__(cls, text)

    @classmethod
    def all_student(cls, num_groups: int) -> Mix:
        """The first mix of every path."""
        return cls(STUDENT * num_groups)

    @classmethod
    def all_teacher(cls, num_groups: int) -> Mix:
        """The last mix of every path."""
        return cls(TEACHER * num_groups)

    @property
    def switches(self) -> tuple[int, ...]:
        """Boundaries at which the side changes, so that a converter runs there."""
        return tuple(i for i in range(len(self) - 1) if self[i] != self[i + 1])

    def with_teacher(self, group: int) -> Mix:
        """This mix with ``group`` taken over by the teacher."""
        return Mix(self[:group] + TEACHER + self[group + 1 :])


def all_mixes(num_groups: int) -> tuple[Mix, ...]:
    """All ``2**num_groups`` mixes, from all-student to all-teacher in binary order."""
    return tuple(Mix("".join(m)) for m in itertools.product(STUDENT + TEACHER, repeat=num_groups))


def prefix_order(num_groups: int) -> tuple[int, ...]:
    """The order 0, 1, 2, … of the PWL paper."""
    return tuple(range(num_groups))


def path(order: Sequence[int]) -> tuple[Mix, ...]:
    """The N+1 mixes that ``order`` walks through.

    Raises:
        ValueError: when ``order`` is not a permutation of ``0..N-1``.

    Example:
        >>> path((0, 1))
        ('SS', 'TS', 'TT')
    """
    if sorted(order) != list(range(len(order))) or not order:
        raise ValueError(f"Received order {list(order)}; expected each group index 0..N-1 once.")
    return tuple(_walk(order))


def _walk(order: Sequence[int]) -> Iterator[Mix]:
    mix = Mix.all_student(len(order))
    yield mix
    for group in order:
        mix = mix.with_teacher(group)
        yield mix
