package tfpwl.bundle;

import java.util.Arrays;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/** Shape (with the batch axis), dtype and, where the dtype is an integer, scale and zero point. */
public final class TensorSpec {
    @NotNull private final int[] shape;
    @NotNull public final String dtype;
    @Nullable public final Double scale;
    @Nullable public final Integer zeroPoint;

    /**
     * @param dtype {@code float32}, {@code float16}, {@code int8}, {@code uint8} or {@code int16}
     * @param scale null where the tensor is not quantized; then {@code zeroPoint} is null, too
     */
    public TensorSpec(@NotNull int[] shape, @NotNull String dtype, @Nullable Double scale,
            @Nullable Integer zeroPoint) {
        this.shape = shape.clone();
        this.dtype = dtype;
        this.scale = scale;
        this.zeroPoint = zeroPoint;
    }

    public TensorSpec(@NotNull int[] shape, @NotNull String dtype) {
        this(shape, dtype, null, null);
    }

    /** A copy of the shape. */
    @NotNull
    public int[] shape() {
        return shape.clone();
    }

    /** Number of elements. */
    public long numElements() {
        long count = 1;
        for (int axis : shape) {
            // Saturates: a manifest may promise shapes that no memory holds, and the engine's own check comes later.
            count = count > Integer.MAX_VALUE ? count : count * axis;
        }
        return count;
    }

    /** Bytes of the tensor; one that has 2 GiB or more is refused, as no buffer holds it. */
    public int numBytes() {
        long bytes = numElements() * bytesPerElement(dtype);
        if (bytes > Integer.MAX_VALUE) {
            throw new tfpwl.ContractException(this + " has more than a buffer can hold. Export the bundle again.");
        }
        return (int) bytes;
    }

    private static int bytesPerElement(String dtype) {
        return dtype.equals("float32") ? 4 : dtype.equals("float16") || dtype.equals("int16") ? 2 : 1;
    }

    boolean sameShapeAndDtype(TensorSpec other) {
        return Arrays.equals(shape, other.shape) && dtype.equals(other.dtype);
    }

    /** Whether a tensor of one can be handed on as the other, unchanged. */
    public boolean agreesWith(@NotNull TensorSpec other) {
        if (!sameShapeAndDtype(other)) {
            return false;
        }
        if (scale == null || other.scale == null || zeroPoint == null || other.zeroPoint == null) {
            return scale == null && other.scale == null;
        }
        // Scales are float32 in the files; a manifest may have printed them with 7 digits.
        return zeroPoint.equals(other.zeroPoint) && Math.abs(scale - other.scale) <= 1e-6 * Math.abs(scale);
    }

    @Override
    public String toString() {
        String quantization = scale == null ? "" : " scale " + scale + " zero point " + zeroPoint;
        return dtype + " " + Arrays.toString(shape) + quantization;
    }
}
