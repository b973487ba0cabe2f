"""Attention layers: whole heads go, with their slices of the query, key, value and output projections."""

from __future__ import annotations

import math
from typing import Any

from tfpwl.models.calls import Call, Value
from tfpwl.prune.trace import KERNEL, Kept, Trace, Unknown
from tfpwl.prune.units import Map


def multi_head_attention(trace: Trace, call: Call) -> None:
    """``MultiHeadAttention(query, value, key)``: one unit per head; the output channels are a block of their own."""
    layer = call.operation
    names = dict(zip(("query", "value", "key"), call.args, strict=False)) | call.kwargs
    query, value = names["query"], names["value"]
    key = value if names.get("key") is None else names["key"]
    config = layer.get_config()
    if config.get("use_gate") or (config["output_shape"] and len(config["output_shape"]) > 1):
        raise Unknown("a gate or an output of several axes is not known")
    if len(call.outputs) != 1:
        raise Unknown("its attention scores are used, which need every head")
    heads = trace.made(call, "heads", layer.num_heads, width=layer.key_dim)
    q, k, v = (trace.map(tensor) for tensor in (query, key, value))
    out = trace.made(call, "out", call.outputs[0].shape[-1])
    for dense, units in ((layer.query_dense, q), (layer.key_dense, k), (layer.value_dense, v)):
        trace.slot(call, dense.kernel, {0: units, 1: heads}, KERNEL)
        if dense.bias is not None:
            trace.slot(call, dense.bias, {0: heads})
    trace.slot(call, layer.output_dense.kernel, {0: heads, 2: out}, KERNEL)
    if layer.output_dense.bias is not None:
        trace.slot(call, layer.output_dense.bias, {0: out})
    trace.size(call, "num_heads", heads)
    _output_shape(trace, call, q, out)
    _count(trace, call, (query, key, value), (q, k, v), heads=heads, out=out)
    trace.give(call.outputs[0], out)


def _output_shape(trace: Trace, call: Call, query: Map, out: Map) -> None:
    """By default the output is as wide as the query; it has to be said only where the two are cut differently."""

    def edit(data: dict[str, Any], kept: Kept) -> None:
        if data["config"]["output_shape"] is not None or len(kept(query)) != len(kept(out)):
            data["config"]["output_shape"] = [len(kept(out))]

    if not trace.record(call).edits:
        trace.record(call).edits.append(edit)


def _count(
    trace: Trace, call: Call, tensors: tuple[Value, Value, Value], maps: tuple[Map, Map, Map], *, heads: Map, out: Map
) -> None:
    sizes = [tensor.shape[1:-1] for tensor in tensors]
    if any(None in size for size in sizes):
        trace.count(call, None)
        return
    places_q, places_k, places_v = (float(math.prod(s or 1 for s in size)) for size in sizes)
    layer = call.operation
    trace.count(call, places_q * layer.key_dim, maps[0], heads)
    trace.count(call, places_k * layer.key_dim, maps[1], heads)
    trace.count(call, places_v * layer.value_dim, maps[2], heads)
    trace.count(call, places_q * places_k * (layer.key_dim + layer.value_dim), heads)
    trace.count(call, places_q * layer.value_dim, heads, out)


def attention(trace: Trace, call: Call) -> None:
    """``Attention([query, value, key])``: a scalar product ties the channels of query and key."""
    layer = call.operation
    if layer.score_mode != "dot" or len(call.outputs) != 1 or not isinstance(call.args[0], (list, tuple)):
        raise Unknown("only dot-product attention with one output is known")
    query, value, *rest = call.args[0]
    key = rest[0] if rest else value
    trace.units.unite(trace.map(query), trace.map(key))
    if layer.scale is not None:
        trace.slot(call, layer.scale, {})
    sizes = [tensor.shape[1:-1] for tensor in (query, key)]
    known = not any(None in size for size in sizes)
    places = float(math.prod(s or 1 for size in sizes for s in size)) if known else None
    trace.count(call, places, trace.map(query))
    trace.count(call, places, trace.map(value))
    trace.give(call.outputs[0], trace.map(value))
