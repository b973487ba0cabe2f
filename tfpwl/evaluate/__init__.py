"""What a bundle does, measured through its files: accuracy of mixes, time per answer, fidelity to the teacher."""

from tfpwl.evaluate.accuracy import MixResult, default_mixes, evaluate_mixes
from tfpwl.evaluate.latency import measure_latency
from tfpwl.evaluate.whole_teacher import teacher_difference

__all__ = ["MixResult", "default_mixes", "evaluate_mixes", "measure_latency", "teacher_difference"]
