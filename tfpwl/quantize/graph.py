"""The operators and tensors of a .tflite file, as far as quantizing needs to know them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# Their output carries the scale of their first input, in TFLite's kernels and so in litert-quantizer.
SAME_SCALE_OPERATORS = frozenset(
    {"AVERAGE_POOL_2D", "BROADCAST_TO", "GATHER", "GATHER_ND", "MAX_POOL_2D", "MIRROR_PAD", "PAD", "REDUCE_MIN",
     "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_DEPTH", "SPLIT", "STRIDED_SLICE",
     "TRANSPOSE", "UNPACK"}
)  # fmt: skip
_FLOAT32 = 0  # schema TensorType


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: its name in the schema, and its tensors by index (-1: an optional input that is absent)."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor; ``is_constant`` where the file holds its values."""

    name: str
    shape: tuple[int, ...]
    is_float: bool
    is_constant: bool


@dataclass(frozen=True)
class Graph:
    """A file's only subgraph.

    Attributes:
        operators: in running order.
        tensors: by index, which is the interpreter's index too.
        input, output: indices of the ends.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    input: int
    output: int

    @cached_property
    def activations(self) -> tuple[int, ...]:
        """The float tensors whose values depend on the input, the input itself first, then in running order."""
        made = (index for operator in self.operators for index in operator.outputs)
        return tuple(i for i in (self.input, *made) if self.tensors[i].is_float)

    @cached_property
    def tied_to_output(self) -> tuple[int, ...]:
        """The output and the tensors before it that share its scale: what a max-pool takes, for instance.

        A range that is pinned to the output must be pinned to all of them.
        """
        producer = {index: operator for operator in self.operators for index in operator.outputs}
        tied = [self.output]
        while (operator := producer.get(tied[-1])) is not None and operator.name in SAME_SCALE_OPERATORS:
            tied.append(operator.inputs[0])
        return tuple(tied)

    def weights(self) -> Iterator[int]:
        """Indices of the constant float tensors."""
        return (i for i, tensor in enumerate(self.tensors) if tensor.is_constant and tensor.is_float)


def read_graph(model: bytes) -> Graph:
    """The graph of a file that :mod:`tfpwl.export` wrote (one subgraph, one input, one output).

    Example:
        >>> read_graph(files["g0.student"]).operators[0].name                      # doctest: +SKIP
        'CONV_2D'
    """
    # Here and not above: a module with a class per operator of the schema.
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    root = schema.Model.GetRootAsModel(model, 0)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    codes = [root.OperatorCodes(i) for i in range(root.OperatorCodesLength())]
    graph = root.Subgraphs(0)
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    return Graph(
        tuple(
            Operator(
                # Older files keep the code in a byte of its own.
                names[max(codes[op.OpcodeIndex()].BuiltinCode(), codes[op.OpcodeIndex()].DeprecatedBuiltinCode())],
                tuple(int(op.Inputs(k)) for k in range(op.InputsLength())),
                tuple(int(op.Outputs(k)) for k in range(op.OutputsLength())),
            )
            for op in operators
        ),
        tuple(_tensor(root, graph.Tensors(i)) for i in range(graph.TensorsLength())),
        int(graph.Inputs(0)),
        int(graph.Outputs(0)),
    )


def _tensor(root: Any, tensor: Any) -> Tensor:
    return Tensor(
        tensor.Name().decode(),
        tuple(int(tensor.Shape(k)) for k in range(tensor.ShapeLength())),
        tensor.Type() == _FLOAT32,
        root.Buffers(tensor.Buffer()).DataLength() > 0,
    )


def operator_sequence(graph: Graph) -> Sequence[tuple[str, tuple[int, ...]]]:
    """Name and output shape of each operator: what two files of the same layers have in common."""
    return [(operator.name, graph.tensors[operator.outputs[0]].shape) for operator in graph.operators]
