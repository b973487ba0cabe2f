package tfpwl.bench;

import java.text.SimpleDateFormat;
import java.util.Arrays;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.TimeZone;
import org.jetbrains.annotations.NotNull;

/**
 * Measures a bundle on the device it runs on and writes versioned JSON; docs/android.md has the command lines and the
 * fields.
 *
 * <p>The exit code is in the last line of the output, too, as an adb shell without {@code shell_v2} loses it. A process
 * that died before shows no such line.
 */
public final class Main {
    static final String FORMAT = "tfpwl-device-bench";
    static final int VERSION = 1;
    static final String MARKER = "TFPWL-BENCH EXIT ";
    private static final String TOOL_VERSION = "0.1.0";

    private Main() {
    }

    public static void main(String[] words) {
        // Without this, a thread that an engine left behind would keep the process.
        System.exit(run(words, new Shell()));
    }

    /**
     * Measure and write the result, or the error.
     *
     * @return 0: measured; 1: measuring failed; 2: bad input
     */
    public static int run(@NotNull String[] words, @NotNull Platform platform) {
        int code;
        try {
            code = measure(words, platform);
        } catch (InterruptedException | RuntimeException | Error exc) {
            // Whatever it was: whoever started this may see nothing but the file and the last line.
            code = report(Failure.of(exc), words, platform);
        }
        platform.say(MARKER + code);
        return code;
    }

    private static int measure(String[] words, Platform platform) throws InterruptedException {
        long start = System.nanoTime();
        Arguments arguments = Arguments.parse(words);
        ResultFile file = new ResultFile(platform.resolve(arguments.out));
        file.prepare();
        Map<String, Object> fields = head(words, platform);
        Map<String, Object> tool = tool(platform);
        fields.put("tool", tool);
        Benchmark benchmark = new Benchmark(arguments, platform, Engines.make(arguments));
        fields.putAll(benchmark.measure());
        tool.put("seconds", (System.nanoTime() - start) / 1e9);
        Failure failure = judge(fields);
        fields.put("error", failure == null ? null : failure.toFields());
        file.write(JsonText.of(fields));
        return failure == null ? 0 : complain(failure, platform);
    }

    /** Null where every answer came and was right. */
    static Failure judge(Map<String, Object> fields) {
        Map<?, ?> upgrade = (Map<?, ?>) ((Map<?, ?>) fields.get("summary")).get("upgrade");
        long lost = ((Number) upgrade.get("lost")).longValue();
        long wrong = ((Number) upgrade.get("wrong")).longValue();
        return lost + wrong == 0 ? null : Failure.of(new MeasurementException("answers", "Of "
                + (((Number) upgrade.get("num_answers")).longValue() + lost) + " answers during upgrades " + lost
                + " were lost and " + wrong + " were those of no mix."));
    }

    private static Map<String, Object> head(String[] words, Platform platform) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("format", FORMAT);
        fields.put("version", VERSION);
        fields.put("tool", tool(platform));
        fields.put("arguments", Arrays.asList(words));
        fields.put("device", Device.toFields());
        return fields;
    }

    private static Map<String, Object> tool(Platform platform) {
        SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT);
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("version", TOOL_VERSION);
        fields.put("form", platform.form());
        fields.put("started", format.format(new Date()));
        fields.put("seconds", null);
        return fields;
    }

    private static int complain(Failure failure, Platform platform) {
        platform.complain("tfpwl-bench: error: " + failure.code + ": " + failure.message);
        return failure.exitCode;
    }

    private static int report(Failure failure, String[] words, Platform platform) {
        String out = Arguments.findOut(words);
        if (out != null && !failure.code.equals("output")) {
            Map<String, Object> fields = head(words, platform);
            fields.put("error", failure.toFields());
            try {
                new ResultFile(platform.resolve(out)).write(JsonText.of(fields));
            } catch (OutputException exc) {
                platform.complain("tfpwl-bench: " + exc.getMessage());
            }
        }
        return complain(failure, platform);
    }
}
