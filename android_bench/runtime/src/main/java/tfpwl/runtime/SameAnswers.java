package tfpwl.runtime;

import java.nio.ByteBuffer;
import java.util.Locale;
import java.util.Random;
import tfpwl.EngineException;
import tfpwl.bundle.TensorSpec;

/**
 * Whether a file answers on the GPU as it does on the CPU.
 *
 * <p>A GPU may compute a file wrong without an error: LiteRT 2.3 does so with many int8 files (docs/performance.md).
 */
final class SameAnswers {
    /** Of the range of an answer. GPUs compute with float16, which makes 0.001 of it. */
    private static final double TOLERANCE = 0.01;

    private SameAnswers() {
    }

    /**
     * Let both answer the same noise.
     *
     * @param engine what allocates memory that both take
     * @param group the file on the GPU
     * @param reference the file on the CPU
     * @throws EngineException the answers differ by more than rounding, or one cannot run
     */
    static void check(Engine engine, LoadedGroup group, LoadedGroup reference) {
        TensorSpec output = reference.output();
        ByteBuffer noise = noise(engine, reference.input());
        ByteBuffer expected = answer(engine, reference, noise);
        ByteBuffer found = answer(engine, group, noise);
        double least = Double.POSITIVE_INFINITY;
        double most = Double.NEGATIVE_INFINITY;
        double off = 0;
        for (int i = 0; i < output.numElements(); i++) {
            double right = number(expected, output.dtype, i);
            least = Math.min(least, right);
            most = Math.max(most, right);
            // Of a NaN and a number Math.max is NaN, so that one that is no number is not forgotten.
            off = Math.max(off, Math.abs(number(found, output.dtype, i) - right));
        }
        // Where all numbers are equal, as a single one is, their size takes the range's place.
        double range = most > least ? most - least : Math.abs(most);
        // Of whole numbers one is a step of rounding, however small the range.
        double allowed = Math.max(TOLERANCE * range, output.dtype.startsWith("float") ? 0 : 1);
        if (!(off <= allowed)) {
            throw new EngineException(String.format(Locale.ROOT, "The file does not run on the GPU: its answer there "
                    + "is off by %.3g, where the CPU's has a range of %.3g.", off, range));
        }
    }

    private static ByteBuffer answer(Engine engine, LoadedGroup group, ByteBuffer x) {
        ByteBuffer into = engine.allocate(group.output().numBytes());
        LoadedGroup.Binding binding = group.bind(x, into);
        try {
            binding.run();
        } finally {
            binding.close();
        }
        return into;
    }

    private static ByteBuffer noise(Engine engine, TensorSpec spec) {
        ByteBuffer x = engine.allocate(spec.numBytes());
        Random random = new Random(0);
        if (spec.dtype.equals("float32")) {
            for (int i = 0; i < spec.numElements(); i++) {
                x.putFloat(4 * i, random.nextFloat());
            }
            return x;
        }
        byte[] bytes = new byte[x.capacity()];
        random.nextBytes(bytes);
        x.put(bytes);
        x.rewind();
        return x;
    }

    private static double number(ByteBuffer of, String dtype, int place) {
        if (dtype.equals("float32")) {
            return of.getFloat(4 * place);
        }
        if (dtype.equals("int16")) {
            return of.getShort(2 * place);
        }
        return dtype.equals("uint8") ? of.get(place) & 0xFF : of.get(place);
    }
}
