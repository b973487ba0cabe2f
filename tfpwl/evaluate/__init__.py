"""What a bundle does, measured through its files: accuracy of mixes, time per answer, fidelity to the teacher."""

from tfpwl.evaluate.accuracy import MAX_GROUPS_FOR_ALL_MIXES, MixResult, default_mixes, evaluate_mixes
from tfpwl.evaluate.latency import AnswerTime, compare_latency, measure_latency
from tfpwl.evaluate.order import OrderPlan, PlanStep, best_mix, describe_order, plan_order, simple_orders
from tfpwl.evaluate.whole_teacher import teacher_difference

__all__ = [
    "MAX_GROUPS_FOR_ALL_MIXES",
    "AnswerTime",
    "MixResult",
    "OrderPlan",
    "PlanStep",
    "best_mix",
    "compare_latency",
    "default_mixes",
    "describe_order",
    "evaluate_mixes",
    "measure_latency",
    "plan_order",
    "simple_orders",
    "teacher_difference",
]
