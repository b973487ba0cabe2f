"""How far the features at the boundaries are from the float ones: signal to noise, and cosine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl.bundle import TensorSpec
from tfpwl.bundle.assemble import check_stems
from tfpwl.mix import Mix
from tfpwl.quantize.calibration import as_batches
from tfpwl.quantize.chain import End, Run, ends, runs
from tfpwl.runtime import InterpreterEngine, LoadedGroup

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class BoundaryError:
    """Features of one side of a boundary against the float files' features for the same images and mixes.

    Attributes:
        boundary: index of the boundary.
        side: ``student`` or ``teacher``.
        snr_db: ten times the logarithm of the float features' energy over that of the difference; None where nothing
            differs.
        cosine: between both feature maps, the mean over images and mixes.
    """

    boundary: int
    side: str
    snr_db: float | None
    cosine: float


def boundary_errors(
    files: Mapping[str, bytes], quantized: Mapping[str, bytes], x: Array, mixes: Sequence[Mix]
) -> tuple[BoundaryError, ...]:
    """Run float and quantized files side by side and compare what passes each boundary.

    The difference at a boundary is that of all files before it together, as an app meets it.

    Args:
        files: the float files, by stem.
        quantized: the same files at another precision.
        x: preprocessed images, ``(n, *input shape)``; some dozens are enough.
        mixes: which mixes to run, the path's for instance.

    Returns:
        One entry for each side of each boundary that a mix passes.

    Raises:
        QuantizationError: the images do not fit the files.
        EngineError: a file does not run.
    """
    num_groups = check_stems(files)
    engine = InterpreterEngine()
    exact = {stem: engine.load(model, threads=1) for stem, model in files.items()}
    rounded = {stem: engine.load(quantized[stem], threads=1) for stem in files}
    sums: dict[End, _Sums] = {}
    batches = as_batches(x, exact["g0.student"].input.shape)

    def run(one: Run, expected: list[Array], found: list[Array]) -> None:
        expected = [exact[one.stem](batch) for batch in expected]
        found = [rounded[one.stem](batch) for batch in found]
        end = ends(one.stem, num_groups)[1]
        if end is not None:
            for wanted, got in zip(expected, found, strict=True):
                sums.setdefault(end, _Sums()).add(wanted, _dequantized(got, rounded[one.stem]))
        for following in one.following:
            run(following, expected, found)

    for first in runs(files, mixes):
        run(first, batches, batches)
    order = sorted(sums, key=lambda end: (end.index, end.side))
    return tuple(BoundaryError(end.index, end.side, sums[end].snr_db(), sums[end].cosine()) for end in order)


@dataclass(slots=True)
class _Sums:
    signal: float = 0.0
    noise: float = 0.0
    cosines: list[float] = field(default_factory=list)

    def add(self, wanted: Array, got: Array) -> None:
        flat_wanted = wanted.reshape(len(wanted), -1).astype(np.float64)
        flat_got = got.reshape(len(got), -1).astype(np.float64)
        self.signal += float(np.square(flat_wanted).sum())
        self.noise += float(np.square(flat_wanted - flat_got).sum())
        norms = np.linalg.norm(flat_wanted, axis=1) * np.linalg.norm(flat_got, axis=1)
        products = (flat_wanted * flat_got).sum(axis=1)
        # Two feature maps of zeros point the same way; one of them alone does not.
        same = np.where((flat_wanted == flat_got).all(axis=1), 1.0, 0.0)
        self.cosines.extend(np.divide(products, norms, out=same, where=norms > 0).tolist())

    def snr_db(self) -> float | None:
        if self.noise == 0.0:
            return None
        return 10.0 * math.log10(max(self.signal, np.finfo(float).tiny) / self.noise)

    def cosine(self) -> float:
        return float(np.mean(self.cosines))


def _dequantized(values: Array, group: LoadedGroup) -> Array:
    spec: TensorSpec = group.output
    if spec.scale is None or spec.zero_point is None:
        return values
    return (values.astype(np.float32) - spec.zero_point) * np.float32(spec.scale)
