"""Float ``.tflite`` files -> the same files at another precision, by litert-quantizer."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tfpwl.bundle.assemble import check_stems
from tfpwl.bundle.entries import TensorSpec
from tfpwl.bundle.tflite_file import read_facts
from tfpwl.errors import MissingDependencyError, QuantizationError
from tfpwl.quantize import recipes
from tfpwl.quantize.calibration import Calibration, TensorRanges
from tfpwl.quantize.chain import ends
from tfpwl.quantize.finish import finish
from tfpwl.quantize.graph import Graph, operator_sequence, read_graph
from tfpwl.quantize.ranges import Range

PRECISIONS = ("fp32", "fp16", "w8", "int8")
OnProgress = Callable[[int, int], None]


def quantize_files(
    files: Mapping[str, bytes],
    precision: str,
    calibration: Calibration | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> dict[str, bytes]:
    """All files of a pair at a precision. What is handed in stays as it is.

    Args:
        files: float ``.tflite`` bytes by stem.
        precision: ``fp32`` (a copy), ``fp16``, ``w8`` or ``int8``.
        calibration: of :func:`tfpwl.quantize.calibrate` on the same files; needed for ``int8`` alone.
        on_progress: called with ``(files done, files in all)``.

    Returns:
        The files by the same stems. Under int8 the boundaries are int8 with one scale and zero point per side (float32
        in transformers), and the bundle's input and output stay float32.

    Raises:
        QuantizationError: a file cannot be quantized, or int8 was asked for without a calibration that fits.
        ContractError: files are missing or superfluous.
        MissingDependencyError: litert-quantizer is not installed.

    Example:
        >>> int8 = quantize_files(files, "int8", calibrate(files, x))              # doctest: +SKIP
    """
    check_stems(files)
    mixed = precision == "int8" and has_float_boundaries(files)
    quantized: dict[str, bytes] = {}
    for stem, model in files.items():
        if precision == "int8":
            quantized[stem] = _to_int8(stem, model, _needed(calibration), mixed=mixed)
        else:
            quantized[stem] = _convert(stem, model, precision)
        if on_progress is not None:
            on_progress(len(quantized), len(files))
    return quantized


def quantize_whole(
    whole: bytes, files: Mapping[str, bytes], precision: str, calibration: Calibration | None = None
) -> bytes:
    """The teacher in one piece at a precision, with the very ranges of its groups.

    Contract 4 compares the all-teacher mix with it. The one-piece file runs the operators of its groups one after
    another; each of its tensors takes the range of the tensor that the same operator of the group writes.

    Args:
        whole: the float teacher in one file.
        files: the float files of the pair, by stem.
        precision: ``fp32``, ``fp16``, ``w8`` or ``int8``.
        calibration: of ``files``; needed for ``int8``.

    Raises:
        QuantizationError: the one-piece file has other operators than the groups together.
    """
    if precision != "int8":
        return _convert("teacher", whole, precision)
    mixed = has_float_boundaries(files)
    recipe = recipes.int8_dense() if mixed else recipes.int8(float_input=True, float_output=True)
    return _run_quantizer("teacher", whole, recipe, _whole_ranges(read_graph(whole), files, _needed(calibration)))


def has_float_boundaries(files: Mapping[str, bytes]) -> bool:
    """Whether int8 leaves the boundaries of these files float32: in transformers, where both neighbours are float."""
    return recipes.is_transformer(operator.name for model in files.values() for operator in read_graph(model).operators)


def _convert(stem: str, model: bytes, precision: str) -> bytes:
    if precision == "fp32":
        return bytes(model)
    if precision not in PRECISIONS:
        raise QuantizationError(f"Received precision {precision!r}; expected one of {', '.join(PRECISIONS)}.")
    return _run_quantizer(stem, model, recipes.fp16() if precision == "fp16" else recipes.w8(), None)


def _needed(calibration: Calibration | None) -> Calibration:
    if calibration is None:
        raise QuantizationError("int8 needs the ranges of the activations; give calibrate(files, images).")
    return calibration


def _to_int8(stem: str, model: bytes, calibration: Calibration, *, mixed: bool) -> bytes:
    graph, known = read_graph(model), calibration.ranges.get(stem, {})
    unknown = [graph.tensors[index].name for index in graph.activations if graph.tensors[index].name not in known]
    if unknown:
        raise QuantizationError(
            f"{stem}.tflite: the calibration has no range for {len(unknown)} of its tensors ({unknown[0]!r}, …). "
            "Calibrate the very files that are quantized."
        )
    if mixed:
        return _run_quantizer(stem, model, recipes.int8_dense(), calibration.ranges[stem])
    before, after = ends(stem, len(calibration.boundaries) + 1)
    recipe = recipes.int8(float_input=before is None, float_output=after is None)
    data = _run_quantizer(stem, model, recipe, calibration.ranges[stem])
    facts = read_facts(f"{stem}.tflite", data)
    for end, spec in ((before, facts.input), (after, facts.output)):
        if end is not None:
            _check_end(stem, str(end), spec, calibration.boundaries[end.index].side(end.side))
    return data


def _check_end(stem: str, where: str, spec: TensorSpec, pinned: Range) -> None:
    expected = TensorSpec(spec.shape, "int8", float(np.float32(pinned.scale)), pinned.zero_point)
    if not spec.agrees_with(expected):
        raise QuantizationError(
            f"{stem}.tflite: the quantizer made {spec} of {where}; expected {expected}. The operator there sets its "
            "own scale (softmax, tanh, …); cut the groups elsewhere."
        )


def _run_quantizer(stem: str, model: bytes, recipe: Any, ranges: TensorRanges | None) -> bytes:
    try:
        from litert_quantizer import quantizer  # noqa: PLC0415
    except ImportError as exc:
        raise MissingDependencyError("Quantizing needs litert-quantizer: pip install 'tfpwl[train]'") from exc
    # New arrays each time: the quantizer writes into what it is given.
    found = None if ranges is None else {name: _as_statistics(one) for name, one in ranges.items()}
    try:
        with warnings.catch_warnings(), _silence():
            warnings.simplefilter("ignore")
            result = quantizer.Quantizer(model, recipe).quantize(
                found, enable_progress_bar=False, enable_progress_report=False
            )
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as exc:
        raise QuantizationError(f"{stem}.tflite cannot be quantized: {exc}. Take another precision for it.") from exc
    if result.quantized_model is None:
        raise QuantizationError(f"{stem}.tflite cannot be quantized: litert-quantizer gave nothing back.")
    return finish(bytes(result.quantized_model))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """No report on stdout and no bars on stderr, of which one cannot be turned off by an argument."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _as_statistics(one: Range) -> dict[str, Any]:
    return {"min": np.array(one.low, np.float32), "max": np.array(one.high, np.float32)}


def _whole_ranges(whole: Graph, files: Mapping[str, bytes], calibration: Calibration) -> dict[str, Range]:
    stems = [f"g{i}.teacher" for i in range(len(calibration.boundaries) + 1)]
    graphs = [read_graph(files[stem]) for stem in stems]
    together = [step for graph in graphs for step in operator_sequence(graph)]
    if list(operator_sequence(whole)) != together:
        raise QuantizationError(
            f"The teacher in one piece has {len(whole.operators)} operators, which are not those of its groups one "
            f"after another ({len(together)}), so that there are no ranges to take over. Export teacher and groups "
            "from the same pair."
        )
    first = calibration.ranges[stems[0]]
    ranges = {whole.tensors[whole.input].name: first[graphs[0].tensors[graphs[0].input].name]}
    parts = [
        (calibration.ranges[stem], graph, operator)
        for stem, graph in zip(stems, graphs, strict=True)
        for operator in graph.operators
    ]
    for operator, (known, graph, twin) in zip(whole.operators, parts, strict=True):
        for index, other in zip(operator.outputs, twin.outputs, strict=True):
            if whole.tensors[index].is_float:
                ranges[whole.tensors[index].name] = known[graph.tensors[other].name]
    return ranges
