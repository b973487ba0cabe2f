package tfpwl.bench;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** Measured values, in the order they came; grows without an object per value. */
final class Times {
    private double[] values = new double[256];
    private int count;

    static Times of(double... values) {
        Times times = new Times();
        for (double value : values) {
            times.add(value);
        }
        return times;
    }

    void add(double value) {
        if (count == values.length) {
            values = Arrays.copyOf(values, 2 * count);
        }
        values[count++] = value;
    }

    int count() {
        return count;
    }

    double get(int index) {
        if (index >= count) {
            throw new IndexOutOfBoundsException(index + " of " + count);
        }
        return values[index];
    }

    double[] toArray() {
        return Arrays.copyOf(values, count);
    }

    /** The middle value, or the mean of the two in the middle; NaN of none. */
    double median() {
        if (count == 0) {
            return Double.NaN;
        }
        double[] sorted = sorted();
        return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    }

    /** The smallest value that {@code share} (0..1) of the values do not exceed (nearest rank); NaN of none. */
    double percentile(double share) {
        return count == 0 ? Double.NaN : sorted()[Math.max(0, (int) Math.ceil(share * count) - 1)];
    }

    double max() {
        return percentile(1);
    }

    private double[] sorted() {
        double[] sorted = toArray();
        Arrays.sort(sorted);
        return sorted;
    }

    /** Number, median, percentiles and worst of answers. */
    Map<String, Object> toFields() {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("num_answers", count);
        fields.put("median_ms", median());
        fields.put("p90_ms", percentile(0.9));
        fields.put("p99_ms", percentile(0.99));
        fields.put("worst_ms", max());
        return fields;
    }
}
