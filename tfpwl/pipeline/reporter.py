"""What a build tells whoever watches it. The command line draws bars from it; a script may ignore it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Reporter(Protocol):
    """Hears of every stage: started, waiting for another build that makes the same, so far, finished."""

    def started(self, stage: str) -> None: ...

    def waiting(self, stage: str, holder: str) -> None: ...

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None: ...

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None: ...


class Silent:
    """A reporter that says nothing, and the base of those that are silent on some."""

    def started(self, stage: str) -> None:
        pass

    def waiting(self, stage: str, holder: str) -> None:
        pass

    def advanced(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        pass

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None:
        pass


def summarize(metrics: Mapping[str, Any]) -> str:
    """One line on what a stage left."""
    if "test_accuracy" in metrics:
        speed = f", {metrics['images_per_second']:.0f} images/s" if metrics["images_per_second"] else ""
        notes = "".join(f"\n{'':<9} {note}" for note in metrics.get("notes", ()))
        size = f"{metrics['parameters']:,} parameters"
        return f"{size}, {100 * metrics['test_accuracy']:.2f} % on the test set{speed}{notes}"
    if "rungs" in metrics:
        return f"{len(metrics['rungs'])} rungs on {metrics['num_test_images']:,} images; {metrics['chosen']} is chosen"
    if "templates" in metrics:
        return f"{metrics['templates']:,} numbers in templates of {', '.join(metrics['kinds'])}"
    if "num_files" in metrics:
        return f"{metrics['num_files']} files, {metrics['bytes']:,} bytes"
    return f"{len(metrics['accuracy'])} mixes on {metrics['num_test_images']:,} images, through the files"
