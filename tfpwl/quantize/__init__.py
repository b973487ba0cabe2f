"""Precision: float files -> fp16, w8 and int8 files that keep the bundle's contracts, and the choice among them."""

from tfpwl.quantize.calibration import BoundaryRange, Calibration, calibrate
from tfpwl.quantize.convert import PRECISIONS, has_float_boundaries, quantize_files, quantize_whole
from tfpwl.quantize.fidelity import BoundaryError, boundary_errors
from tfpwl.quantize.ladder import Choice, Rung, choose
from tfpwl.quantize.ranges import Range

__all__ = [
    "PRECISIONS",
    "BoundaryError",
    "BoundaryRange",
    "Calibration",
    "Choice",
    "Range",
    "Rung",
    "boundary_errors",
    "calibrate",
    "choose",
    "has_float_boundaries",
    "quantize_files",
    "quantize_whole",
]
