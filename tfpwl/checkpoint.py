"""The state of a fit after every epoch: whole or not there, so that a run killed anywhere finds the last whole one."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfpwl.errors import TrainingError

_STATE, _LOG = "state.npz", "epochs.json"


class Variable(Protocol):
    """A variable of Keras, on any backend, or of TensorFlow."""

    def numpy(self) -> Any: ...

    def assign(self, value: Any) -> Any: ...


def save_epoch(folder: Path, variables: Sequence[Variable], log: Sequence[Mapping[str, float]]) -> None:
    """Keep the state after the last epoch of ``log``, in one rename; older ones are removed.

    keras.callbacks.BackupAndRestore writes the weights and the number of the epoch one after the other; killed in
    between, it trains an epoch twice and says nothing. Arrays, because h5py, which is behind Keras' save_weights, ends
    the process with a segmentation fault when the disk was full.

    Args:
        folder: for the checkpoints.
        variables: everything that a step changes: weights, statistics, the optimizer's moments.
        log: metrics of the epochs so far.
    """
    older = list(folder.glob("epoch-*"))
    unfinished = folder / "writing"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    np.savez(unfinished / _STATE, **{f"v{index}": variable.numpy() for index, variable in enumerate(variables)})
    (unfinished / _LOG).write_text(json.dumps(list(log)), encoding="utf-8")
    unfinished.rename(folder / f"epoch-{len(log):06d}")
    for epoch in older:
        shutil.rmtree(epoch)


def load_epoch(folder: Path, variables: Sequence[Variable]) -> list[dict[str, float]]:
    """Put the newest state into ``variables``, if there is one, and return the metrics of the epochs behind it.

    Raises:
        TrainingError: it cannot be read, or is of another network.
    """
    saved = sorted(folder.glob("epoch-*"))
    if not saved:
        return []
    try:
        with np.load(saved[-1] / _STATE, allow_pickle=False) as arrays:
            values = [arrays[f"v{index}"] for index in range(len(variables))]
        log: list[dict[str, float]] = json.loads((saved[-1] / _LOG).read_text(encoding="utf-8"))
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as exc:
        raise TrainingError(f"The checkpoint {saved[-1]} cannot be read: {exc}. Remove it to start over.") from exc
    return log
