"""The stages by name and in order: all there are, those of one pipeline, those that a command asks for."""

from __future__ import annotations

from tfpwl.config import PipelineConfig
from tfpwl.errors import ConfigError

STAGES = ("train", "condense", "distill", "baseline", "prune", "finetune", "export", "quantize", "evaluate")


def stages_of(config: PipelineConfig) -> tuple[str, ...]:
    """The stages that a pipeline goes through, in order."""
    runs = {
        "condense": config.student.init == "wave",
        "baseline": config.distill.baseline,
        "prune": config.prune is not None,
        "finetune": config.finetune is not None,
        "quantize": config.quantize is not None,
    }
    return tuple(stage for stage in STAGES if runs.get(stage, True))


def check_stages(config: PipelineConfig, until: str, start: str | None) -> None:
    """Check what a command asks for.

    Args:
        config: the pipeline.
        until: the last stage to run.
        start: the stage to run again with all after it, if any.

    Raises:
        ConfigError: there is no such stage, this pipeline does not have it, or ``start`` comes after ``until``.
    """
    stages = stages_of(config)
    for stage in (until, start):
        if stage is not None and stage not in STAGES:
            raise ConfigError(f"Received stage {stage!r}; expected one of {', '.join(STAGES)}.")
        if stage is not None and stage not in stages:
            raise ConfigError(f"Received stage {stage!r}; this pipeline has {', '.join(stages)}.")
    if start is not None and stages.index(start) > stages.index(until):
        raise ConfigError(f"Received --from {start}, which comes after {until}, the last stage of this command.")
