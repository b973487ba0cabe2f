"""The pipeline YAML as typed, frozen models; what it does not know it refuses, with the line and a hint.

Example:
    >>> config = parse_config("name: demo\\ndata: {name: digits}\\nteacher: {family: lenet5}\\n")
    >>> config.distill.temperature
    2.0
"""

from tfpwl.config.data import AugmentConfig, DataConfig, DataSection, PreprocessConfig
from tfpwl.config.finetune import FinetuneConfig
from tfpwl.config.models import DeriveConfig, ModelConfig, StudentConfig, TeacherConfig
from tfpwl.config.pipeline import PipelineConfig, load_config, parse_config, validate
from tfpwl.config.prune import PruneConfig, PruneTargetConfig
from tfpwl.config.quantize import CalibrationConfig, QatConfig, QuantizeConfig, QuantizeGateConfig
from tfpwl.config.reading import digest, load_as, parse_as, validate_as
from tfpwl.config.results import EvaluateConfig, ExportConfig, GatesConfig, RuntimeConfig
from tfpwl.config.search import LIMIT_OF, SearchConfig, each_value
from tfpwl.config.section import Section
from tfpwl.config.tiers import LimitsConfig, RequiresConfig, TierConfig
from tfpwl.config.training import DistillConfig, TrainConfig
from tfpwl.config.wave import CondenseConfig, WaveConfig

__all__ = [
    "AugmentConfig",
    "CalibrationConfig",
    "CondenseConfig",
    "DataConfig",
    "DataSection",
    "DeriveConfig",
    "DistillConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FinetuneConfig",
    "GatesConfig",
    "LIMIT_OF",
    "LimitsConfig",
    "ModelConfig",
    "PipelineConfig",
    "PreprocessConfig",
    "PruneConfig",
    "PruneTargetConfig",
    "QatConfig",
    "QuantizeConfig",
    "QuantizeGateConfig",
    "RequiresConfig",
    "RuntimeConfig",
    "SearchConfig",
    "Section",
    "StudentConfig",
    "TeacherConfig",
    "TierConfig",
    "TrainConfig",
    "WaveConfig",
    "digest",
    "each_value",
    "load_as",
    "load_config",
    "parse_as",
    "parse_config",
    "validate",
    "validate_as",
]
