package tfpwl.bench;

import java.io.File;
import java.util.LinkedHashMap;
import java.util.Map;

/** A whole model in one .tflite file, which the bundle is compared with. */
final class Rival {
    final String name;
    final File file;

    Rival(String name, File file) {
        this.name = name;
        this.file = file;
    }

    /** Whether it is the student in one piece; any other rival is held against the teacher. */
    boolean isStudent() {
        return name.startsWith("student");
    }

    Map<String, Object> toFields() {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("name", name);
        fields.put("file", file.getPath());
        fields.put("bytes", file.length());
        return fields;
    }
}
