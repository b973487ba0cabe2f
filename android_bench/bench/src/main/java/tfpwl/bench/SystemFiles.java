package tfpwl.bench;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.Charset;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Files below /proc and /sys. Which of them may be read differs from device to device, so that none is needed. */
final class SystemFiles {
    private static final Pattern NUMBER = Pattern.compile("-?[0-9]{1,18}");
    private static final int MAX_LINES = 10000;

    private SystemFiles() {
    }

    /** The lines of a file; none where it cannot be read. */
    static List<String> lines(File file) {
        List<String> found = new ArrayList<String>();
        try {
            BufferedReader reader = new BufferedReader(
                    new InputStreamReader(new FileInputStream(file), Charset.forName("UTF-8")));
            try {
                for (String line = reader.readLine(); line != null && found.size() < MAX_LINES;
                        line = reader.readLine()) {
                    found.add(line);
                }
            } finally {
                reader.close();
            }
        } catch (IOException exc) {
            return new ArrayList<String>();
        }
        return found;
    }

    /** The first line of a file; null where it cannot be read or is empty. */
    static String line(File file) {
        List<String> lines = lines(file);
        return lines.isEmpty() ? null : lines.get(0).trim();
    }

    /** The number in the first line of a file; null where there is none. */
    static Long number(File file) {
        String line = line(file);
        return line != null && NUMBER.matcher(line).matches() ? Long.valueOf(line) : null;
    }

    /** What stands behind {@code key:} in a file of such lines; null where it has no such line. */
    static String field(File file, String key) {
        for (String line : lines(file)) {
            if (line.startsWith(key + ":")) {
                return line.substring(key.length() + 1).trim();
            }
        }
        return null;
    }

    /** The same, where it is a number of kilobytes, in bytes. */
    static Long kilobytes(File file, String key) {
        String field = field(file, key);
        if (field == null) {
            return null;
        }
        Matcher number = NUMBER.matcher(field);
        return number.lookingAt() ? Long.valueOf(1024 * Long.parseLong(number.group())) : null;
    }
}
