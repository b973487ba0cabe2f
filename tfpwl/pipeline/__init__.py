"""From a pipeline's YAML to a bundle: stages, their artifacts, the gates."""

from tfpwl.pipeline.build import STAGES, BuildResult, build
from tfpwl.pipeline.reporter import Reporter, Silent

__all__ = ["STAGES", "BuildResult", "Reporter", "Silent", "build"]
