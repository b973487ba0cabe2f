package tfpwl.bundle;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;

/** What android_bench/fixtures.py wrote. */
public final class Fixtures {
    private static final File ROOT = new File(System.getProperty("tfpwl.fixtures"));

    private Fixtures() {
    }

    public static File file(String path) {
        File found = new File(ROOT, path);
        if (!found.exists()) {
            throw new IllegalStateException("There is no " + found + ". Write it with `make android-fixtures`.");
        }
        return found;
    }

    /** A bundle or pack: {@code fp32}, {@code fp32.tfpwl}, {@code int8} … */
    public static File bundle(String name) {
        return file("bundles/" + name);
    }

    /** A JSON file as maps, lists, strings, Long and Double. */
    public static Object json(String path) {
        return parse(file(path));
    }

    public static Object parse(File json) {
        try {
            return Json.parse(Files.readAllBytes(json.toPath()), Integer.MAX_VALUE, Document.MANIFEST).value();
        } catch (IOException exc) {
            throw new IllegalStateException(exc);
        }
    }

    @SuppressWarnings("unchecked")
    public static Map<String, Object> map(Object json) {
        return (Map<String, Object>) json;
    }

    @SuppressWarnings("unchecked")
    public static List<Object> list(Object json) {
        return (List<Object>) json;
    }

    public static float[] floats(Object json) {
        List<Object> numbers = list(json);
        float[] found = new float[numbers.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = ((Number) numbers.get(i)).floatValue();
        }
        return found;
    }

    /** Inputs of answers.json. */
    public static float[][] inputs() {
        return table(map(json("answers.json")).get("inputs"));
    }

    /** Python's answers to {@link #inputs} by mix. */
    public static Map<String, Object> answers(String bundle) {
        return map(map(map(json("answers.json")).get("answers")).get(bundle));
    }

    public static float[][] table(Object json) {
        List<Object> rows = list(json);
        float[][] found = new float[rows.size()][];
        for (int i = 0; i < found.length; i++) {
            found[i] = floats(rows.get(i));
        }
        return found;
    }

    public static Map<String, Object> facts() {
        return map(json("fixtures.json"));
    }

    public static byte[] rawKey(String name) {
        return hex((String) map(map(facts().get("keys")).get(name)).get("raw"));
    }

    public static PublicKey key(String name) {
        return PublicKey.ofBytes(rawKey(name));
    }

    public static byte[] hex(String text) {
        byte[] found = new byte[text.length() / 2];
        for (int i = 0; i < found.length; i++) {
            found[i] = (byte) Integer.parseInt(text.substring(2 * i, 2 * i + 2), 16);
        }
        return found;
    }
}
