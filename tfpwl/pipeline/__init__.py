"""From a pipeline's YAML to a bundle: stages, their artifacts, the gates."""

from tfpwl.pipeline.build import BuildResult, build
from tfpwl.pipeline.reporter import Reporter, Silent
from tfpwl.pipeline.stage_names import STAGES
from tfpwl.pipeline.tiers import TierResult, TiersResult, build_tiers

__all__ = ["STAGES", "BuildResult", "Reporter", "Silent", "TierResult", "TiersResult", "build", "build_tiers"]
