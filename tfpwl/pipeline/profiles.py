"""What measurements on devices decide about a tier: precision, threads and delegate, and how long an answer takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfpwl.bench.profile import Profile, ProfileChoice, load_profile
from tfpwl.bundle import RuntimeHints
from tfpwl.config import PipelineConfig


def fit_ladder(config: PipelineConfig, profiles: Sequence[Path]) -> PipelineConfig:
    """The pipeline with its ladder in the order of speed on the devices; the first rung that keeps the gate is taken.

    Where profiles disagree, the order is that of the slowest device: the others have time to spare.

    Args:
        config: of a tier; without a ladder it stays as it is.
        profiles: files of ``tfpwl profile``; precisions that none of them has stay behind, in their order.

    Raises:
        ProfileError: a profile is missing or broken.
    """
    if config.quantize is None or not profiles:
        return config
    read = [load_profile(path) for path in profiles]
    measured = [precision for precision in config.quantize.ladder if all(precision in p.precisions for p in read)]
    ranked = sorted(measured, key=lambda precision: _slowest(read, precision).median_ms)
    rest = [precision for precision in config.quantize.ladder if precision not in ranked]
    ladder = config.quantize.model_copy(update={"ladder": (*ranked, *rest), "select": "first"})
    return config.model_copy(update={"quantize": ladder})


def choose_runtime(profiles: Sequence[Path], precision: str) -> tuple[RuntimeHints, float] | None:
    """Threads and delegate for a precision, and the milliseconds of an answer with them, on the slowest device.

    Returns:
        None where no profile has this precision.

    Raises:
        ProfileError: a profile is missing or broken.
    """
    read = [profile for profile in map(load_profile, profiles) if precision in profile.precisions]
    if not read:
        return None
    choice = _slowest(read, precision)
    return RuntimeHints(choice.threads, choice.delegate), choice.median_ms


def _slowest(profiles: Sequence[Profile], precision: str) -> ProfileChoice:
    return max((profile.best([precision]) for profile in profiles), key=lambda choice: choice.median_ms)
