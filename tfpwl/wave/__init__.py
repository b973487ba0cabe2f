"""WAVE: students of any size initialised from one set of weight templates (arXiv 2406.17503), and rival starts."""

from tfpwl.wave.auxiliary import count_scalers, kroneckerise, make_bank, materialise, template_shapes
from tfpwl.wave.condense import condense
from tfpwl.wave.configured import condense_pipeline, start_student
from tfpwl.wave.initialise import initialise
from tfpwl.wave.kinds import find_kernels
from tfpwl.wave.kronecker import kronecker_sum
from tfpwl.wave.layers import KroneckerAttention, KroneckerConv2D, KroneckerDense, KroneckerEmbedding, Templates
from tfpwl.wave.rivals import start_by_pruning, start_by_selection, start_random
from tfpwl.wave.templates import TemplateSet, load_templates, save_templates

__all__ = [
    "KroneckerAttention",
    "KroneckerConv2D",
    "KroneckerDense",
    "KroneckerEmbedding",
    "TemplateSet",
    "Templates",
    "condense",
    "condense_pipeline",
    "count_scalers",
    "find_kernels",
    "initialise",
    "kronecker_sum",
    "kroneckerise",
    "load_templates",
    "make_bank",
    "materialise",
    "save_templates",
    "start_by_pruning",
    "start_by_selection",
    "start_random",
    "start_student",
    "template_shapes",
]
