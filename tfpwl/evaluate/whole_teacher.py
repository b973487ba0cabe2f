"""Contract 4 of the bundle: the all-teacher mix is the teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfpwl.bundle import Bundle
from tfpwl.errors import ContractError
from tfpwl.evaluate.accuracy import check_images
from tfpwl.evaluate.scorer import load_files, split
from tfpwl.mix import Mix
from tfpwl.runtime import InterpreterEngine

Array = NDArray[Any]


def teacher_difference(bundle: Bundle, one_piece: bytes, x: Array) -> float:
    """The largest absolute difference between the bundle's all-teacher answers and a one-piece file's.

    Args:
        bundle: the bundle.
        one_piece: the whole teacher as one .tflite file of the same batch.
        x: preprocessed images, ``(n, *input shape)``; a hundred are enough.

    Returns:
        The difference in units of the output; NaN when either side answers NaN. Contract 4: at most 1e-5 at fp32.

    Raises:
        DataError: the images do not fit the bundle.
        ContractError: the one-piece file has another input or output than the bundle.
        IntegrityError, EngineError: a file is broken or does not run.

    Example:
        >>> teacher_difference(bundle, export_model(compose(pair.teacher, "teacher")), x[:100])  # doctest: +SKIP
        9.5e-07
    """
    check_images(bundle, x)
    whole = InterpreterEngine().load(one_piece, threads=1)
    expected = (bundle.manifest.input.shape, bundle.manifest.output.shape)
    if (whole.input.shape, whole.output.shape) != expected:
        raise ContractError(
            f"The one-piece teacher maps {whole.input.shape} to {whole.output.shape}; the bundle maps {expected[0]} to "
            f"{expected[1]}. Export the same teacher with the same batch."
        )
    mix = Mix.all_teacher(bundle.manifest.num_groups)
    files = load_files(bundle, [mix])
    chain = [files[entry.file] for entry in bundle.chain(mix)]
    largest = 0.0
    for batch in split(x, expected[0][0]):
        answer = batch
        for group in chain:
            answer = group(answer)
        # np.maximum hands NaN on; the builtin max would lose it.
        largest = float(np.maximum(largest, np.max(np.abs(answer - whole(batch)))))
    return largest
