"""TFLite's own ``benchmark_model`` (and LiteRT's): its command line, and the two families of output it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tfpwl.bench.android.benchmark_result import read_benchmark_result
from tfpwl.bench.android.device import PhoneFacts
from tfpwl.bench.android.program import ProgramOptions, Reading, under_mask
from tfpwl.errors import DataError, DeviceError, WrongAbiError

_BINARY = "benchmark_model"
_RESULT = "benchmark_result.pb"
# e_machine of an ELF file -> Android's name.
_MACHINES = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a"}
_MB = 1 << 20
# As C++ streams print it; the growth of memory may be negative.
_NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"

# TFLite, in microseconds. Its first inference is the first run of the warm-up.
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, Warmup \(avg\): {_NUMBER}, "
    rf"Inference \(avg\): {_NUMBER}"
)
_COUNT_LINE = re.compile(r"^.*\bcount=\d+ .*\bavg=.*$", re.MULTILINE)
_COUNT_FIELDS = {
    "min": "min_ms",
    "max": "max_ms",
    "std": "std_ms",
    "p5": "p5_ms",
    "median": "median_ms",
    "p95": "p95_ms",
}
_FOOTPRINT = re.compile(rf"Memory footprint delta from the start of the tool \(MB\): init={_NUMBER} overall={_NUMBER}")
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}")
# LiteRT, in milliseconds and megabytes.
_LITERT = {
    "init_ms": "Model initialization", "first_ms": "Warmup (first)", "warmup_ms": "Warmup (avg)",
    "avg_ms": "Inference (avg)", "min_ms": "Inference (min)", "max_ms": "Inference (max)", "std_ms": "Inference (std)",
    "median_ms": "Inference (median)", "p5_ms": "Inference (p5)", "p95_ms": "Inference (p95)",
    "init_bytes": "Init footprint", "overall_bytes": "Overall footprint", "peak_bytes": "Peak memory",
}  # fmt: skip


def parse_output(text: str) -> dict[str, float]:
    """The figures of one run, from either family of output.

    Args:
        text: everything it printed; prefixes such as ``INFO:`` or those of logcat do not matter.

    Returns:
        ``avg_ms`` and what else is told of ``init_ms``, ``first_ms``, ``warmup_ms``, ``min_ms``, ``max_ms``,
        ``std_ms``, ``p5_ms``, ``median_ms``, ``p95_ms``, ``init_bytes``, ``overall_bytes``, ``peak_bytes``.

    Raises:
        DataError: there are no timings in it.

    Example:
        >>> parse_output("Inference timings in us: Init: 530, First inference: 124020, "
        ...              "Warmup (avg): 117225, Inference (avg): 116066")
        {'init_ms': 0.53, 'first_ms': 124.02, 'warmup_ms': 117.225, 'avg_ms': 116.066}
    """
    found = _parse_tflite(text) or _parse_litert(text)
    if "avg_ms" not in found:
        raise DataError(
            "benchmark_model printed no timings; expected a line `Inference timings in us: …` or "
            f"`Inference (avg): … ms`. Its last words: {text.strip()[-500:]!r}"
        )
    return found


def _parse_tflite(text: str) -> dict[str, float]:
    timings = _TIMINGS.search(text)
    if timings is None:
        return {}
    found = dict(zip(("init_ms", "first_ms", "warmup_ms", "avg_ms"), _scaled(timings.groups(), 1e-3), strict=True))
    # Two such lines: the warm-up's, then that of the runs that count.
    if lines := _COUNT_LINE.findall(text):
        fields = dict(re.findall(rf"\b(\w+)={_NUMBER}", lines[-1]))
        found |= {name: float(fields[key]) / 1e3 for key, name in _COUNT_FIELDS.items() if key in fields}
    if memory := _FOOTPRINT.search(text):
        found |= dict(zip(("init_bytes", "overall_bytes"), _scaled(memory.groups(), _MB), strict=True))
    if peak := _PEAK.search(text):
        found["peak_bytes"] = float(peak[1]) * _MB
    return found


def _parse_litert(text: str) -> dict[str, float]:
    found = {}
    for name, label in _LITERT.items():
        if match := re.search(rf"{re.escape(label)}: +{_NUMBER}", text):
            found[name] = float(match[1]) * (_MB if name.endswith("_bytes") else 1)
    return found


def _scaled(numbers: tuple[str, ...], factor: float) -> list[float]:
    return [float(number) * factor if factor > 1 else float(number) / round(1 / factor) for number in numbers]


def binary_abi(path: Path) -> str | None:
    """Which of Android's instruction sets a binary is for; None if it is no ELF file or for another one."""
    with path.open("rb") as file:
        header = file.read(20)
    if header[:4] != b"\x7fELF" or len(header) < 20:
        return None
    return _MACHINES.get(int.from_bytes(header[18:20], "little"))


@dataclass(frozen=True, slots=True)
class BenchmarkModel:
    """Runs the official binary on each of several .tflite files; a :class:`Program`.

    Attributes:
        binary: ``benchmark_model``, built for the phone.
        models: files by the name that they have in the results.
    """

    binary: Path
    models: Mapping[str, Path]
    options: ProgramOptions = field(default_factory=ProgramOptions)
    name: str = "benchmark_model"
    result_file: str = _RESULT

    @property
    def subjects(self) -> tuple[str, ...]:
        """The names of the models."""
        return tuple(self.models)

    def files(self, facts: PhoneFacts) -> dict[str, Path]:
        """The binary and the models.

        Raises:
            WrongAbiError: the binary is for other processors.
        """
        abi = binary_abi(self.binary)
        if abi is not None and abi not in facts.abis:
            raise WrongAbiError(
                f"{self.binary} is built for {abi}; {facts.serial} ({facts.model}) runs {', '.join(facts.abis)}. "
                f"Give one built for {facts.abis[0] if facts.abis else 'it'}."
            )
        return {_BINARY: self.binary, **{self._remote(subject): path for subject, path in self.models.items()}}

    def command(self, subject: str, folder: str, number: int) -> str:
        """One run of the binary; every repeat is the same."""
        arguments = [f"--graph={folder}/{self._remote(subject)}", f"--result_file_path={folder}/{_RESULT}"]
        if self.options.threads is not None:
            arguments.append(f"--num_threads={self.options.threads}")
        if self.options.delegate == "gpu":
            arguments.append("--use_gpu=true")
        return "exec " + under_mask(self.options, f"{folder}/{_BINARY} {shlex.join(arguments)}")

    def read(self, subject: str, output: str, result: Path | None) -> Reading:
        """The figures of the result file where there is one, completed by those of the output.

        Raises:
            DeviceError: there are none.
        """
        try:
            # What is printed is rounded, the file is not; the file of older versions lacks some figures.
            figures = parse_output(output) | ({} if result is None else read_benchmark_result(result.read_bytes()))
        except DataError as exc:
            raise DeviceError(f"{subject}: {exc}") from exc
        return Reading({subject: figures}, {"output": output})

    def _remote(self, subject: str) -> str:
        return f"models/{self.subjects.index(subject)}.tflite"
