package tfpwl.bench;

import java.io.File;
import java.util.LinkedHashMap;
import java.util.Map;

/** Where it is measured: what this process can find out without asking anybody for leave. */
final class Device {
    private static final File STATUS = new File("/proc/self/status");

    private Device() {
    }

    static boolean isAndroid() {
        // ART still gives the name of the virtual machine before it.
        return "Dalvik".equals(System.getProperty("java.vm.name"));
    }

    static Map<String, Object> toFields() {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("abi", abi());
        fields.put("cores", Runtime.getRuntime().availableProcessors());
        fields.put("allowed_cpus", SystemFiles.field(STATUS, "Cpus_allowed_list"));
        fields.put("memory_bytes", SystemFiles.kilobytes(new File("/proc/meminfo"), "MemTotal"));
        fields.put("page_bytes", SystemFiles.kilobytes(new File("/proc/self/smaps"), "KernelPageSize"));
        fields.put("kernel", System.getProperty("os.name") + " " + System.getProperty("os.version"));
        fields.put("vm", System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version"));
        fields.put("android", isAndroid() ? AndroidFacts.build() : null);
        return fields;
    }

    static String abi() {
        if (isAndroid()) {
            return AndroidFacts.abi();
        }
        String arch = System.getProperty("os.arch");
        return arch.equals("amd64") ? "x86_64" : arch.equals("aarch64") ? "arm64-v8a" : arch;
    }
}
