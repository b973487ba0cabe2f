package tfpwl.bench;

import java.io.File;
import java.util.LinkedHashMap;
import java.util.Map;

/** What this process takes, at a moment. */
final class ProcessMemory {
    private static final File STATUS = new File("/proc/self/status");
    private static final File ROLLUP = new File("/proc/self/smaps_rollup");

    private ProcessMemory() {
    }

    /**
     * @param filesBytes of the .tflite files that are loaded
     */
    static Map<String, Object> read(int run, String subject, String at, long filesBytes) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("run", run);
        fields.put("subject", subject);
        fields.put("at", at);
        fields.put("rss_bytes", SystemFiles.kilobytes(STATUS, "VmRSS"));
        // Linux 4.14; phones that came with an older kernel keep it.
        Long pss = SystemFiles.kilobytes(ROLLUP, "Pss");
        String source = pss == null ? null : "smaps_rollup";
        if (pss == null && Device.isAndroid()) {
            pss = AndroidFacts.pssBytes();
            source = "debug";
        }
        fields.put("pss_bytes", pss);
        fields.put("pss_source", source);
        fields.put("files_bytes", filesBytes);
        return fields;
    }

    /** The most that the process ever took; null where the kernel does not say. */
    static Long peakRssBytes() {
        return SystemFiles.kilobytes(STATUS, "VmHWM");
    }
}
