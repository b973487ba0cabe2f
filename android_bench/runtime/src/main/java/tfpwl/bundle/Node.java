package tfpwl.bundle;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Pattern;
import tfpwl.BundleException;

/** One value of a JSON document and its path, such as {@code groups[1].teacher.sha256}; knows how to refuse itself. */
final class Node {
    private static final int MAX_TEXT = 1000;
    private static final int MAX_QUOTE = 80;

    private final Object value;
    private final String path;
    private final Document document;

    Node(Object value, String path, Document document) {
        this.value = value;
        this.path = path;
        this.document = document;
    }

    /** The text cut to what a message can bear. */
    static String shorten(String text) {
        return text.length() <= MAX_QUOTE ? text : text.substring(0, MAX_QUOTE - 3) + "...";
    }

    /** An error that names this place. */
    BundleException refused(String problem) {
        return document.error((path.isEmpty() ? document.title : path) + ": " + problem, null);
    }

    private BundleException expected(String what) {
        String shown = value instanceof String ? "'" + value + "'" : String.valueOf(value);
        return refused("received " + shorten(shown) + "; expected " + what);
    }

    boolean isObject() {
        return value instanceof Map;
    }

    boolean has(String key) {
        return isObject() && ((Map<?, ?>) value).containsKey(key);
    }

    Object value() {
        return value;
    }

    /** This node, an object that has all {@code required} keys and none beside these and {@code optional}. */
    Node fields(String[] required, String... optional) {
        if (!isObject()) {
            throw expected("an object");
        }
        TreeSet<String> known = new TreeSet<String>(Arrays.asList(required));
        known.addAll(Arrays.asList(optional));
        for (Object key : ((Map<?, ?>) value).keySet()) {
            if (!known.contains(key)) {
                throw get((String) key).refused("unknown key; expected only " + join(known));
            }
        }
        for (String key : required) {
            if (!has(key)) {
                throw get(key).refused("the key is missing");
            }
        }
        return this;
    }

    Node get(String key) {
        Object child = isObject() ? ((Map<?, ?>) value).get(key) : null;
        String name = shorten(key);
        return new Node(child, path.isEmpty() ? name : path + "." + name, document);
    }

    /** The child at {@code key}, or null where it is null or absent. */
    Node maybe(String key) {
        Node child = get(key);
        return child.value == null ? null : child;
    }

    /** The members of a list that has at least {@code minimum} of them. */
    List<Node> items(int minimum) {
        if (!(value instanceof List)) {
            throw expected("a list");
        }
        List<?> values = (List<?>) value;
        if (values.size() < minimum) {
            throw refused("received " + values.size() + " members; expected at least " + minimum);
        }
        List<Node> found = new ArrayList<Node>(values.size());
        for (int i = 0; i < values.size(); i++) {
            found.add(new Node(values.get(i), path + "[" + i + "]", document));
        }
        return found;
    }

    /** Printable text that is not empty. */
    String text() {
        if (!(value instanceof String)) {
            throw expected("a string");
        }
        String text = (String) value;
        if (text.isEmpty() || text.codePointCount(0, text.length()) > MAX_TEXT || !isPrintable(text)) {
            throw expected("1 to " + MAX_TEXT + " printable characters");
        }
        return text;
    }

    String matching(Pattern pattern, String what) {
        String text = text();
        if (!pattern.matcher(text).matches()) {
            throw expected(what);
        }
        return text;
    }

    String choice(String... choices) {
        String text = text();
        if (!Arrays.asList(choices).contains(text)) {
            throw expected("one of " + join(Arrays.asList(choices)));
        }
        return text;
    }

    /** A whole number; true and false are none, nor is 1.0. */
    long integer(long minimum, long maximum) {
        if (!(value instanceof Long) && !(value instanceof java.math.BigInteger)) {
            throw expected("a whole number");
        }
        if (!(value instanceof Long) || (Long) value < minimum || (Long) value > maximum) {
            throw expected("a whole number from " + minimum + " to " + maximum);
        }
        return (Long) value;
    }

    /** True or false. */
    boolean flag() {
        if (!(value instanceof Boolean)) {
            throw expected("true or false");
        }
        return (Boolean) value;
    }

    /** A finite number. */
    double number(double minimum, double maximum) {
        if (!(value instanceof Number)) {
            throw expected("a number");
        }
        double number = ((Number) value).doubleValue();
        if (Double.isInfinite(number)) {
            throw expected("a finite number");
        }
        if (!(minimum <= number && number <= maximum)) {
            throw expected("a number from " + minimum + " to " + maximum);
        }
        return number;
    }

    double number() {
        return number(Double.NEGATIVE_INFINITY, Double.POSITIVE_INFINITY);
    }

    static String join(Iterable<String> words) {
        StringBuilder text = new StringBuilder();
        for (String word : words) {
            text.append(text.length() == 0 ? "" : ", ").append(word);
        }
        return text.toString();
    }

    /** As Python's {@code str.isprintable}, but for characters that one of the two Unicode tables does not know yet. */
    private static boolean isPrintable(String text) {
        for (int i = 0; i < text.length(); i += Character.charCount(text.codePointAt(i))) {
            int code = text.codePointAt(i);
            switch (Character.getType(code)) {
                case Character.CONTROL:
                case Character.FORMAT:
                case Character.SURROGATE:
                case Character.PRIVATE_USE:
                case Character.UNASSIGNED:
                case Character.LINE_SEPARATOR:
                case Character.PARAGRAPH_SEPARATOR:
                    return false;
                case Character.SPACE_SEPARATOR:
                    if (code != ' ') {
                        return false;
                    }
                    break;
                default:
                    break;
            }
        }
        return true;
    }
}
