"""What pruning aims at: a share of parameters, FLOPs, bytes of the .tflite file, or of the time of an answer."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from tfpwl.errors import ModelError
from tfpwl.prune.plan import check_ratio
from tfpwl.runtime import InterpreterEngine

KINDS = ("flops", "params", "channels", "bytes", "latency")
_WARM_UP = 5
_ROUNDS = 60


@dataclass(frozen=True)
class Target:
    """How much has to go: ``Target("flops", 0.5)`` is half of the FLOPs.

    Attributes:
        kind: one of ``flops``, ``params``, ``channels`` (of those that may go), ``bytes`` (of the float .tflite file)
            and ``latency`` (of an answer with one thread).
        ratio: the share that goes, 0 up to, not including, 1.
    """

    kind: str
    ratio: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"Unknown target {self.kind!r}; expected one of {', '.join(KINDS)}.")
        check_ratio(self.ratio, self.kind)

    @classmethod
    def parse(cls, text: str) -> Target:
        """``"flops=0.5"`` as a target.

        Raises:
            ModelError: it is no ``KIND=RATIO``.

        Example:
            >>> Target.parse("bytes=0.6")
            Target(kind='bytes', ratio=0.6)
        """
        kind, equals, ratio = text.partition("=")
        try:
            return cls(kind.strip(), float(ratio))
        except ValueError as exc:
            expected = "KIND=RATIO such as flops=0.5" if equals else f"{kind}=RATIO such as {kind}=0.5"
            raise ModelError(f"Received the target {text!r}; expected {expected}.") from exc


def time_share(whole: bytes, smaller: bytes) -> float:
    """Time of an answer of ``smaller`` as a share of that of ``whole``: two .tflite files, one thread each.

    The files answer in turn, so that a machine that slows down slows both; the medians are compared. What comes out
    still differs from run to run by some hundredths, more on a busy machine.

    Raises:
        EngineError: a file does not load or run.
    """
    engine = InterpreterEngine()
    loaded = [engine.load(data, threads=1) for data in (whole, smaller)]
    inputs = [np.random.default_rng(0).random(group.input.shape, np.float32) for group in loaded]
    taken: list[list[float]] = [[], []]
    for number in range(_WARM_UP + _ROUNDS):
        for group, x, times in zip(loaded, inputs, taken, strict=True):
            begin = time.perf_counter()
            group(x)
            if number >= _WARM_UP:
                times.append(time.perf_counter() - begin)
    before, after = (statistics.median(times) for times in taken)
    return after / before
