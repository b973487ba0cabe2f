"""Data sets by name, by folder of images, by .npz, or by a Python function."""

from tfpwl.data.dataset import Dataset, Split, fit_preprocess
from tfpwl.data.load import load_dataset
from tfpwl.data.section import load_section
from tfpwl.data.sources import LABELS
from tfpwl.data.split import stratified_split

__all__ = ["LABELS", "Dataset", "Split", "fit_preprocess", "load_dataset", "load_section", "stratified_split"]
