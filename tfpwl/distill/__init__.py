"""Progressive Weight Loading (arXiv 2509.22319): train a student whose groups and the teacher's can take turns."""

from tfpwl.distill.adapting import adapt
from tfpwl.distill.mixing import MixedBatches, MixSampler, plan_mix
from tfpwl.distill.swapnet import LossWeights, SwapNet
from tfpwl.distill.trainer import accelerate, distill

__all__ = ["LossWeights", "MixSampler", "MixedBatches", "SwapNet", "accelerate", "adapt", "distill", "plan_mix"]
