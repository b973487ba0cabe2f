package tfpwl.bench;

import java.util.Map;
import org.jetbrains.annotations.NotNull;

/** Maps, lists, arrays of numbers, strings, numbers, booleans and null as JSON; what is not finite becomes null. */
final class JsonText {
    private final StringBuilder text = new StringBuilder();

    private JsonText() {
    }

    @NotNull
    static String of(Object value) {
        JsonText json = new JsonText();
        json.value(value);
        return json.text.append('\n').toString();
    }

    private void value(Object value) {
        if (value instanceof Map) {
            object((Map<?, ?>) value);
        } else if (value instanceof Iterable) {
            array((Iterable<?>) value);
        } else if (value instanceof double[]) {
            numbers((double[]) value);
        } else if (value instanceof int[]) {
            numbers((int[]) value);
        } else if (value instanceof Double) {
            number((Double) value);
        } else if (value == null || value instanceof Number || value instanceof Boolean) {
            text.append(value);
        } else if (value instanceof String) {
            string((String) value);
        } else {
            throw new IllegalArgumentException("Received " + value.getClass() + "; JSON has nothing for it.");
        }
    }

    private void object(Map<?, ?> map) {
        String separator = "{";
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            text.append(separator);
            string((String) entry.getKey());
            text.append(": ");
            value(entry.getValue());
            separator = ", ";
        }
        text.append(map.isEmpty() ? "{}" : "}");
    }

    private void array(Iterable<?> values) {
        text.append('[');
        String separator = "";
        for (Object value : values) {
            text.append(separator);
            value(value);
            separator = ", ";
        }
        text.append(']');
    }

    private void numbers(double[] values) {
        text.append('[');
        for (int i = 0; i < values.length; i++) {
            text.append(i == 0 ? "" : ", ");
            number(values[i]);
        }
        text.append(']');
    }

    private void numbers(int[] values) {
        text.append('[');
        for (int i = 0; i < values.length; i++) {
            text.append(i == 0 ? "" : ", ").append(values[i]);
        }
        text.append(']');
    }

    private void number(double value) {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            text.append("null");
        } else {
            // No clock here tells more than nanoseconds, and more digits would only make the file longer.
            text.append(Math.round(value * 1e6) / 1e6);
        }
    }

    private void string(String value) {
        text.append('"');
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c == '"' || c == '\\') {
                text.append('\\').append(c);
            } else if (c < ' ' || Character.isSurrogate(c)) {
                text.append(String.format("\\u%04x", (int) c));
            } else {
                text.append(c);
            }
        }
        text.append('"');
    }
}
