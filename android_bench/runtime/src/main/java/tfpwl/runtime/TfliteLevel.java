package tfpwl.runtime;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import tfpwl.RuntimeTooOldException;

/** TFLite versions in TensorFlow's numbering, which .tflite files use. */
final class TfliteLevel {
    private static final Pattern VERSION = Pattern.compile("([0-9]{1,4})\\.([0-9]{1,4})(?:\\.([0-9]{1,4}))?.*");

    private TfliteLevel() {
    }

    /**
     * What {@code TensorFlowLite.runtimeVersion()} says, in TensorFlow's numbering.
     *
     * <p>LiteRT, TFLite's successor, began again at 1.0. The classes we call exist since TFLite 2.5, so that a number
     * below that is LiteRT's: 1.x followed TFLite 2.17, 2.x stands at 2.21 (as {@code tfpwl/bundle/version.py} has it).
     */
    static String of(String runtimeVersion) {
        int[] version = parse(runtimeVersion);
        if (version[0] == 1) {
            return "2.17.0";
        }
        return version[0] == 2 && version[1] < 5 ? "2.21.0" : version[0] + "." + version[1] + "." + version[2];
    }

    /**
     * Refuse what needs a newer runtime.
     *
     * @throws RuntimeTooOldException when {@code available} is older than {@code required}
     */
    static void check(String required, String available) {
        int[] wanted = parse(required);
        int[] found = parse(available);
        for (int i = 0; i < 3; i++) {
            if (found[i] > wanted[i]) {
                return;
            }
            if (found[i] < wanted[i]) {
                throw new RuntimeTooOldException("The bundle needs TFLite " + required
                        + " and the app's runtime stands at " + available
                        + ". Update the app's dependency, or make the bundle at another precision (w8 asks for 2.17) or with an "
                        + "older TensorFlow.");
            }
        }
    }

    private static int[] parse(String text) {
        Matcher found = VERSION.matcher(text);
        if (!found.matches()) {
            throw new IllegalArgumentException("Received version '" + text + "'; expected numbers such as '2.16.0'.");
        }
        String patch = found.group(3);
        return new int[] {Integer.parseInt(found.group(1)), Integer.parseInt(found.group(2)),
            patch == null ? 0 : Integer.parseInt(patch)};
    }
}
