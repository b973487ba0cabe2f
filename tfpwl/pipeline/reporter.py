"""What a build tells whoever watches it. The command line draws bars from it; a script may ignore it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """Hears of every stage: started, waiting for another build that makes the same, so far, finished."""

    def started(self, stage: str) -> None: ...

    def waiting(self, stage: str, holder: str) -> None: ...

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None: ...

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None: ...


class Silent:
    """A reporter that says nothing."""

    def started(self, stage: str) -> None:
        pass

    def waiting(self, stage: str, holder: str) -> None:
        pass

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        pass

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None:
        pass
