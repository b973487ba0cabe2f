package tfpwl.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tfpwl.bundle.Fixtures;

/** The table of fields in docs/android.md is the schema: a result has these fields, of these types, and no others. */
class SchemaTest {
    private static final Pattern ROW = Pattern.compile("\\| `([^`]+)` \\| ([a-z ]+) \\|.*");
    /** Objects whose keys are names of mixes or subjects. */
    private static final List<String> FREE = Arrays.asList("summary.subjects", "summary.steady");
    /** What this machine may say nothing of. */
    private static final List<String> ABSENT =
            Arrays.asList("device.android.", "before.zones", "after.zones", "before.cpus", "after.cpus", "error.");
    @TempDir File folder;

    private static Map<String, String> documented() throws Exception {
        Map<String, String> found = new LinkedHashMap<>();
        List<String> lines = Files.readAllLines(new File(System.getProperty("tfpwl.docs"), "android.md").toPath());
        for (String line : lines.subList(lines.indexOf("### The result"), lines.size())) {
            Matcher row = ROW.matcher(line);
            if (row.matches()) {
                found.put(row.group(1), row.group(2));
            }
        }
        return found;
    }

    private static void flatten(String path, Object value, Map<String, TreeSet<String>> found) {
        if (value instanceof Map) {
            for (Map.Entry<String, Object> entry : Fixtures.map(value).entrySet()) {
                String key = FREE.contains(path) ? "*" : entry.getKey();
                flatten(path.isEmpty() ? key : path + "." + key, entry.getValue(), found);
            }
        } else if (value instanceof List) {
            for (Object member : Fixtures.list(value)) {
                flatten(path + "[]", member, found);
            }
        } else {
            found.computeIfAbsent(path, key -> new TreeSet<>()).add(type(value));
        }
    }

    private static String type(Object value) {
        return value == null ? "null" : value instanceof String ? "string" : value instanceof Boolean ? "boolean"
                : value instanceof Long ? "integer" : "number";
    }

    private static boolean allows(String documented, String type) {
        return Arrays.asList(documented.split(" or ")).contains(type);
    }

    private Map<String, TreeSet<String>> fieldsOf(String... more) {
        Recorded shell = new Recorded();
        File out = new File(folder, "result.json");
        shell.run(Fixtures.bundle("fp32"), out, more);
        Map<String, TreeSet<String>> found = new TreeMap<>();
        flatten("", Fixtures.parse(out), found);
        return found;
    }

    @Test
    void aResultHasTheFieldsOfTheTable() throws Exception {
        Map<String, String> documented = documented();
        Map<String, TreeSet<String>> found = fieldsOf("--rival", "teacher=" + Fixtures.file("rivals/teacher.tflite"));
        for (Map.Entry<String, TreeSet<String>> field : found.entrySet()) {
            String types = documented.get(field.getKey());
            assertTrue(types != null, "docs/android.md says nothing of " + field.getKey());
            for (String type : field.getValue()) {
                assertTrue(allows(types, type), field.getKey() + " is " + type + "; docs/android.md says " + types);
            }
        }
        for (String path : documented.keySet()) {
            boolean mayBeAbsent = ABSENT.stream().anyMatch(path::startsWith);
            boolean isThere = found.keySet().stream().anyMatch(key -> key.equals(path) || key.startsWith(path + "."));
            assertTrue(mayBeAbsent || isThere, "no field " + path + ", which docs/android.md has");
        }
    }

    @Test
    void anErrorHasItsFieldsToo() throws Exception {
        Map<String, TreeSet<String>> found = fieldsOf("--rival", "teacher=" + folder);
        assertEquals(new TreeSet<>(Arrays.asList("string")), found.get("error.code"));
        assertEquals(new TreeSet<>(Arrays.asList("string")), found.get("error.message"));
        assertTrue(documented().keySet().containsAll(found.keySet()), found.keySet().toString());
        assertFalse(found.containsKey("summary"));
    }
}
