package tfpwl.bench;

import java.io.File;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** How hot the device is and how fast its cores run at the moment. */
final class Conditions {
    private static final long MILLI_ABOVE = 1000;

    private Conditions() {
    }

    static Map<String, Object> read(Platform platform) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("thermal_status", platform.thermalStatus());
        fields.put("zones", zones(new File("/sys/class/thermal")));
        fields.put("cpus", cpus(new File("/sys/devices/system/cpu")));
        return fields;
    }

    /** Zones that can be read; apps often may not. */
    static List<Object> zones(File folder) {
        List<Object> found = new ArrayList<Object>();
        for (int i = 0; new File(folder, "thermal_zone" + i).exists(); i++) {
            File zone = new File(folder, "thermal_zone" + i);
            Long value = SystemFiles.number(new File(zone, "temp"));
            if (value != null) {
                Map<String, Object> fields = new LinkedHashMap<String, Object>();
                fields.put("name", SystemFiles.line(new File(zone, "type")));
                // The kernel says thousandths; drivers of some phones say whole degrees.
                fields.put("celsius", Math.abs(value) >= MILLI_ABOVE ? value / 1e3 : (double) value);
                found.add(fields);
            }
        }
        return found;
    }

    static List<Object> cpus(File folder) {
        List<Object> found = new ArrayList<Object>();
        for (int i = 0; new File(folder, "cpu" + i).exists(); i++) {
            File frequency = new File(folder, "cpu" + i + "/cpufreq");
            if (frequency.exists()) {
                Map<String, Object> fields = new LinkedHashMap<String, Object>();
                fields.put("cpu", i);
                fields.put("khz", SystemFiles.number(new File(frequency, "scaling_cur_freq")));
                fields.put("min_khz", SystemFiles.number(new File(frequency, "scaling_min_freq")));
                fields.put("max_khz", SystemFiles.number(new File(frequency, "scaling_max_freq")));
                fields.put("governor", SystemFiles.line(new File(frequency, "scaling_governor")));
                found.add(fields);
            }
        }
        return found;
    }
}
