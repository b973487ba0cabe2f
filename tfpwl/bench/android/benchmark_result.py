"""The binary file that ``benchmark_model --result_file_path`` writes: a protocol buffer ``BenchmarkResult``."""

from __future__ import annotations

import functools
import math
from typing import Any

from tfpwl.errors import DataError

_KB, _MB = 1 << 10, 1 << 20
# Message -> field -> (number, type); a type that is none of protobuf's own is a message. Fields as TensorFlow Lite 2.20
# numbers them; a parser passes over those it does not know.
_MESSAGES = {
    "LatencyMetrics": {
        "avg_ms": (1, "float"), "min_ms": (2, "float"), "max_ms": (3, "float"), "stddev_ms": (4, "float"),
        "median_ms": (5, "float"), "p5_ms": (6, "float"), "p95_ms": (7, "float"), "init_ms": (8, "float"),
        "first_inference_ms": (9, "float"), "average_warm_up_ms": (10, "float"),
    },
    "MemoryMetrics": {
        "init_footprint_kb": (1, "int64"), "overall_footprint_kb": (2, "int64"), "peak_mem_mb": (3, "float"),
    },
    "MiscMetrics": {"model_size_mb": (1, "float"), "num_runs": (2, "int32"), "num_warmup_runs": (3, "int32")},
    "BenchmarkResult": {
        "name": (1, "string"), "latency_metrics": (2, "LatencyMetrics"), "memory_metrics": (3, "MemoryMetrics"),
        "misc_metrics": (4, "MiscMetrics"),
    },
}  # fmt: skip
# Field -> our metric and what one unit of it is.
_METRICS = {
    "latency_metrics": {
        "avg_ms": ("avg_ms", 1), "min_ms": ("min_ms", 1), "max_ms": ("max_ms", 1), "stddev_ms": ("std_ms", 1),
        "median_ms": ("median_ms", 1), "p5_ms": ("p5_ms", 1), "p95_ms": ("p95_ms", 1), "init_ms": ("init_ms", 1),
        "first_inference_ms": ("first_ms", 1), "average_warm_up_ms": ("warmup_ms", 1),
    },
    "memory_metrics": {
        "init_footprint_kb": ("init_bytes", _KB), "overall_footprint_kb": ("overall_bytes", _KB),
        "peak_mem_mb": ("peak_bytes", _MB),
    },
    "misc_metrics": {"num_runs": ("num_runs", 1), "num_warmup_runs": ("num_warmup_runs", 1)},
}  # fmt: skip


def read_benchmark_result(data: bytes) -> dict[str, float]:
    """The figures of a result file, by the names of :func:`tfpwl.bench.android.benchmark_model.parse_output`.

    Raises:
        DataError: the bytes are no such message, or one without an average.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - only who measures with that binary pays for it

    message = _message_class()()
    try:
        message.ParseFromString(data)
    except DecodeError as exc:
        raise DataError(
            f"The result file of benchmark_model is no BenchmarkResult ({len(data)} bytes): {exc}."
        ) from exc
    found = {}
    for part, metrics in _METRICS.items():
        metric_values = getattr(message, part)
        for field, (name, unit) in metrics.items():
            value = float(getattr(metric_values, field))
            if metric_values.HasField(field) and math.isfinite(value):
                found[name] = value * unit
    if "avg_ms" not in found:
        raise DataError(f"The result file of benchmark_model has no average time ({len(data)} bytes).")
    return found


@functools.cache
def _message_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415

    package = "tflite.tools.benchmark"
    file = descriptor_pb2.FileDescriptorProto(name="tfpwl/benchmark_result.proto", package=package, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(
                name=field_name, number=number, label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
            )
            if kind in _MESSAGES:
                field.type, field.type_name = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    # A pool of its own: TensorFlow may have registered the same names in the default one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.BenchmarkResult"))
