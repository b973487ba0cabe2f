package tfpwl.bundle;

import org.jetbrains.annotations.NotNull;

/**
 * How raw input becomes model input: {@code (raw * scale - mean) / std}, channels last, in float32 as in Python, so
 * that both give the same bits.
 */
public final class Preprocess {
    private final float scale;
    private final float[] mean;
    private final float[] std;

    Preprocess(double scale, double[] mean, double[] std) {
        this.scale = (float) scale;
        this.mean = toFloats(mean);
        this.std = toFloats(std);
    }

    private static float[] toFloats(double[] values) {
        float[] found = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            found[i] = (float) values[i];
        }
        return found;
    }

    /** One number for all channels, or one per channel. */
    int numChannels() {
        return mean.length;
    }

    /** Model input for {@code raw}, whose last axis is the channels. */
    @NotNull
    public float[] apply(@NotNull float[] raw) {
        float[] found = new float[raw.length];
        for (int i = 0; i < raw.length; i++) {
            int channel = i % mean.length;
            float scaled = raw[i] * scale;
            float centred = scaled - mean[channel];
            found[i] = centred / std[channel];
        }
        return found;
    }
}
