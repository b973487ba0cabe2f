"""From the ``data:`` section of a configuration to a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfpwl.bundle import Preprocess
from tfpwl.data.dataset import Dataset
from tfpwl.data.folder import Progress
from tfpwl.data.load import load_dataset

if TYPE_CHECKING:
    from tfpwl.config import DataConfig, PreprocessConfig


def load_section(section: DataConfig, seed: int, *, on_progress: Progress | None = None) -> Dataset:
    """The data set that ``section`` describes; arguments, result and errors as of :func:`tfpwl.data.load_dataset`."""
    return load_dataset(
        section.name, path=section.path, folder=section.folder, npz=section.npz, python=section.python,
        validation=section.validation, seed=seed, limit=section.limit, image_size=section.image_size,
        channels=section.channels, preprocess=_preprocess(section.preprocess), on_progress=on_progress,
    )  # fmt: skip


def _preprocess(given: PreprocessConfig | None) -> Preprocess | None:
    return None if given is None else Preprocess(given.scale, given.mean, given.std)
