"""What each precision does to a file: recipes for litert-quantizer, one function per precision.

====== =============================================== ===================================================
rung    weights                                         activations
====== =============================================== ===================================================
fp32    float32                                         float32
fp16    float16, unpacked to float32 when loaded        float32
w8      int8 per output channel                         float32; XNNPACK makes int8 of them row by row
int8    int8 per output channel, biases int32           int8, one scale per tensor, from the calibration
====== =============================================== ===================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# A file with one of these holds a transformer layer.
TRANSFORMER_MARKS = frozenset({"GELU", "RSQRT", "SQUARED_DIFFERENCE"})
# What becomes integers then under int8; layer normalization, softmax, GELU, the products of attention and the sums
# between them stay float, and so do the boundaries, which lie between two of them. XNNPACK has no int8 kernel for some,
# so that a fully integer layer falls into 8 partitions: on digits_vit the teacher answers in 0.192 ms, in float in
# 0.098 ms, by this recipe in 0.080 ms, in one partition and with 4 dB less noise (docs/quantization.md).
DENSE_OPERATORS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


def is_transformer(names: Iterable[str]) -> bool:
    """Whether operators of these names make a transformer layer, for which int8 is mixed with float."""
    return not TRANSFORMER_MARKS.isdisjoint(names)


def fp16() -> Any:
    """Weights in half precision."""
    from litert_quantizer import qtyping, recipe_manager  # noqa: PLC0415

    manager = recipe_manager.RecipeManager()
    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    names = qtyping.TFLOperationName
    for name in (names.CONV_2D, names.DEPTHWISE_CONV_2D, names.FULLY_CONNECTED):
        manager.add_quantization_config(
            ".*",
            name,
            qtyping.OpQuantizationConfig(
                weight_tensor_config=weights,
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            "float_casting",
        )
    return manager.get_quantization_recipe()


def w8() -> Any:
    """Integer weights; the activations are made integers while the file runs."""
    from litert_quantizer import recipe  # noqa: PLC0415

    return recipe.dynamic_wi8_afp32()


def int8(*, float_input: bool, float_output: bool) -> Any:
    """Integer weights and activations.

    Args:
        float_input, float_output: leave that end of the file float32, as at the ends of a bundle.
    """
    from litert_quantizer import recipe  # noqa: PLC0415

    left = [*(["INPUT"] if float_input else []), *(["OUTPUT"] if float_output else [])]
    return [
        *recipe.static_wi8_ai8(),
        *({"regex": ".*", "operation": name, "algorithm_key": "no_quantize", "op_config": {}} for name in left),
    ]


def int8_dense() -> Any:
    """Integer dense layers and convolutions between float operators and ends, for transformers."""
    from litert_quantizer import recipe  # noqa: PLC0415

    return [{**one, "operation": name} for one in recipe.static_wi8_ai8() for name in sorted(DENSE_OPERATORS)]
