"""The optional ``quantization`` object of a manifest: which rung of the precision ladder the bundle is, and why."""

from __future__ import annotations

from dataclasses import dataclass

from tfpwl.bundle.schema import Node

PRECISIONS = ("fp32", "fp16", "int8", "w8")
METHODS = ("export", "weights", "calibration", "equalized", "qat")


@dataclass(frozen=True, slots=True)
class RungEntry:
    """One measured rung.

    ``method`` says how its files were made; ``bytes`` are those of all its files; ``drop`` is what its worst mix of the
    path loses against fp32, in points; ``latency_ms`` is the median of the all-teacher mix. None: not measured.
    """

    precision: str
    method: str
    bytes: int
    drop: float | None = None
    latency_ms: float | None = None

    @classmethod
    def read(cls, node: Node) -> RungEntry:
        node.fields("precision", "method", "bytes", optional=("drop", "latency_ms"))
        drop, latency = node.maybe("drop"), node.maybe("latency_ms")
        return cls(
            node["precision"].choice(*PRECISIONS),
            node["method"].choice(*METHODS),
            node["bytes"].integer(minimum=1),
            None if drop is None else drop.number(minimum=-100, maximum=100),
            None if latency is None else latency.number(minimum=0),
        )


@dataclass(frozen=True, slots=True)
class Quantization:
    """The choice among rungs: ``chosen`` and ``method`` name one of ``rungs``, ``reason`` is a sentence for people."""

    chosen: str
    method: str
    reason: str
    rungs: tuple[RungEntry, ...]

    @classmethod
    def read(cls, node: Node) -> Quantization:
        node.fields("chosen", "method", "reason", "rungs")
        rungs = tuple(RungEntry.read(n) for n in node["rungs"].items(minimum=1))
        chosen, method = node["chosen"].choice(*PRECISIONS), node["method"].choice(*METHODS)
        if (chosen, method) not in {(rung.precision, rung.method) for rung in rungs}:
            node["chosen"].fail(f"received {chosen!r} by {method!r}; expected one of `rungs`")
        return cls(chosen, method, node["reason"].text(), rungs)
